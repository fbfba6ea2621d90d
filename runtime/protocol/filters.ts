/** MQTT topic filters (MQTT 3.1.1, section 4.7): `+` stands for one level, a final `#` for any number of levels. */

const TOPIC_BYTES_MAX = 65_535;

/** What is wrong with a filter, or undefined. */
export function filterError(filter: string): string | undefined {
  if (filter === '') return 'topic filter: expected at least one character [MQTT-4.7.3-1]';
  if (Buffer.byteLength(filter) > TOPIC_BYTES_MAX) return `topic filter: expected at most ${TOPIC_BYTES_MAX} bytes`;
  if (filter.includes('\0')) return `topic filter "${filter}": a NUL character is not allowed [MQTT-4.7.3-2]`;
  const levels = filter.split('/');
  for (const [index, level] of levels.entries()) {
    if (level.includes('#') && (level !== '#' || index !== levels.length - 1))
      return `topic filter "${filter}": # may only stand alone as the last level [MQTT-4.7.1-2]`;
    if (level.includes('+') && level !== '+')
      return `topic filter "${filter}": + must fill a whole level [MQTT-4.7.1-3]`;
  }
  return undefined;
}

/** Whether a topic name falls under a (valid) filter. */
export function matchesFilter(filter: string, topic: string): boolean {
  // Filters that begin with a wildcard do not match the broker's own topics [MQTT-4.7.2-1].
  if (topic.startsWith('$') && (filter.startsWith('+') || filter.startsWith('#'))) return false;
  const wanted = filter.split('/');
  const levels = topic.split('/');
  for (const [index, level] of wanted.entries()) {
    if (level === '#') return true;
    if (index >= levels.length || (level !== '+' && level !== levels[index])) return false;
  }
  return wanted.length === levels.length;
}
