/**
 * Topic filters whose single-level wildcards may carry a name: `city/{device}/audio` subscribes to `city/+/audio` and
 * remembers the level as `device`. Rules: MQTT 3.1.1, section 4.7.
 */

export interface TopicFilter {
  /** As the broker understands it: `+` in place of names. */
  readonly mqtt: string;
  readonly variables: readonly string[];
  /** The named levels of a matching topic, or undefined when the topic does not match. */
  match(topic: string): Record<string, string> | undefined;
}

/** [MQTT-4.7.3-3]: topic names and filters are at most this long, in UTF-8. */
const TOPIC_BYTES_MAX = 65_535;
const VARIABLE = /^\{((?!__)[A-Za-z_][A-Za-z0-9_]*)\}$/;

/** Throws an Error that says which rule the filter breaks. */
export function parseFilter(text: string): TopicFilter {
  const levels = text.split('/');
  const fail = (problem: string): never => {
    throw new Error(`topic filter "${text}": ${problem}`);
  };
  checkText(text, fail);
  const variableOf = levels.map((level) => VARIABLE.exec(level)?.[1]);
  const names: string[] = [];
  for (const [index, level] of levels.entries()) {
    const name = variableOf[index];
    if (name !== undefined) {
      if (names.includes(name)) fail(`{${name}} stands in two levels; give each its own name`);
      names.push(name);
    } else if (level === '#') {
      // [MQTT-4.7.1-2]
      if (index !== levels.length - 1) fail('"#" is allowed only as the last level');
    } else if (level !== '+' && /[+#{}]/.test(level)) {
      // [MQTT-4.7.1-3]
      fail(`level "${level}": a wildcard must fill its whole level: "+", "#" or "{name}"`);
    }
  }
  return {
    mqtt: levels.map((level, index) => (variableOf[index] === undefined ? level : '+')).join('/'),
    variables: names,
    match,
  };

  function match(topic: string): Record<string, string> | undefined {
    const given = topic.split('/');
    // [MQTT-4.7.2-1]: a leading wildcard does not match topics that begin with "$".
    if (topic.startsWith('$') && !levels[0]?.startsWith('$')) return undefined;
    const variables: Record<string, string> = {};
    for (const [index, level] of levels.entries()) {
      if (level === '#') return variables;
      const value = given[index];
      if (value === undefined) return undefined;
      const name = variableOf[index];
      if (name !== undefined) variables[name] = value;
      else if (level !== '+' && level !== value) return undefined;
    }
    // "a/#" also matches "a" (4.7.1.2): the loop above left through `#` only when the topic reached that far.
    return given.length === levels.length ? variables : undefined;
  }
}

/** A topic to publish on, with `{name}` in place of a level or of a part of one. */
export interface TopicTemplate {
  fill(variables: Readonly<Record<string, string>>): string;
}

/** Throws an Error when the template is no valid topic or uses a variable that is not in `known`. */
export function parseTemplate(text: string, known: readonly string[]): TopicTemplate {
  const fail = (problem: string): never => {
    throw new Error(`topic "${text}": ${problem}`);
  };
  checkText(text, fail);
  const parts = text.split(/\{([^{}]*)\}/);
  for (const [index, part] of parts.entries()) {
    // split() with a group alternates: plain text at even places, variable names at odd ones.
    if (index % 2 === 1 && !known.includes(part)) {
      fail(`{${part}} is not a level of the topic filter, which has ${list(known.map((name) => `{${name}}`))}`);
    }
    // [MQTT-3.3.2-2]
    if (index % 2 === 0 && /[+#{}]/.test(part)) fail('a topic to publish on has no wildcards');
  }
  return {
    fill: (variables) => parts.map((part, index) => (index % 2 === 1 ? (variables[part] ?? '') : part)).join(''),
  };
}

/**
 * Throws an Error for a topic that no answer may go to. Whoever publishes chooses the levels that fill a template, so
 * that each answer's topic is looked at.
 */
export function checkAnswerTopic(topic: string, filter: TopicFilter): void {
  checkText(topic, (problem) => {
    throw new Error(`answer topic "${topic.slice(0, 60)}": ${problem}`);
  });
  if (filter.match(topic)) throw new Error(`"${topic}" matches the trigger's own filter: it would answer itself`);
  if (/^(\$|llmasos\/)/.test(topic)) throw new Error(`"${topic}" belongs to the broker or the fleet itself`);
}

function checkText(text: string, fail: (problem: string) => never): void {
  // [MQTT-4.7.3-1] to [MQTT-4.7.3-3]
  if (text === '') fail('expected at least one character');
  if (text.includes('\0')) fail('the null character is not allowed');
  const bytes = new TextEncoder().encode(text).byteLength;
  if (bytes > TOPIC_BYTES_MAX) fail(`expected at most ${TOPIC_BYTES_MAX} bytes, got ${bytes}`);
}

function list(names: readonly string[]): string {
  return names.length === 0 ? 'no named levels' : names.join(', ');
}
