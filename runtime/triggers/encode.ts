/** Results as they leave: conditions, named fields, the sentence for people, and what a reader needs to trust them. */
import { type EngineValue, tensorsOf } from '../engine/value.ts';
import { givenVariables, hasVariable } from './checks.ts';
import { compileExpression, type Expression, type Scope } from './expressions.ts';
import type { RunFate } from './fate.ts';
import { writeSafetensors } from './safetensors.ts';
import type { Trigger } from './schema.ts';
import { checkAnswerTopic, parseTemplate, type TopicFilter } from './topic-filter.ts';

export interface Result {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: 0 | 1;
  readonly retain: boolean;
  /** One short sentence for people. */
  readonly summary: string;
}

/** Stands in every result under `meta`. Times are in milliseconds; `receivedAt` and `window` say what was answered. */
export interface Meta {
  readonly trigger: string;
  readonly node: string;
  readonly models: readonly { readonly name: string; readonly version: number; readonly engine: string }[];
  readonly queueMs: number;
  readonly runMs: number;
  /** How each run fared, where the trigger asks for it. */
  readonly runs?: readonly RunFate[];
  readonly receivedAt: number;
  /** The sender's own id or timestamp of the message. */
  readonly id?: string | number;
  readonly window?: { readonly start: number; readonly length: number };
  /** W3C Trace Context of the answering, where it is traced. */
  readonly traceparent?: string;
}

export interface Answer {
  /** Variables of the expressions: topic, message, window and the stages' results. */
  readonly scope: Scope;
  readonly levels: Readonly<Record<string, string>>;
  readonly meta: Meta;
  /** Outputs of the stages without `each`, by stage. */
  readonly outputs: ReadonlyMap<string, Readonly<Record<string, EngineValue>>>;
}

/** Gives undefined where the trigger's `when` is false. Throws an Error that names the expression which failed. */
export type Encoder = (answer: Answer) => Result | undefined;

const SUMMARY_LENGTH = 120;

/** `filter` is that of the trigger's topic. */
export function createEncoder(trigger: Trigger, filter: TopicFilter): Encoder {
  const { output } = trigger;
  const shown = trigger.stages.filter(hasVariable).map((stage) => stage.name);
  const template = parseTemplate(output.topic, filter.variables);
  const known = [...givenVariables(trigger), ...shown];
  const lets: [name: string, expression: Expression][] = [];
  for (const [name, text] of Object.entries(trigger.let ?? {})) {
    lets.push([name, compileExpression(text, known)]);
    known.push(name);
  }
  const when = trigger.when === undefined ? undefined : compileExpression(trigger.when, known);
  const fields = Object.entries(output.fields ?? {}).map(
    ([name, text]) => [name, compileExpression(text, known)] as const,
  );
  const summary = output.summary && compileExpression(output.summary, known);

  return ({ scope, levels: values, meta, outputs }) => {
    const whole: Record<string, unknown> = { ...scope };
    for (const [name, expression] of lets) whole[name] = expression.evaluate(whole);
    if (when && !isTrue(when.evaluate(whole))) return undefined;
    const topic = template.fill(values);
    checkAnswerTopic(topic, filter);
    const body = output.fields
      ? Object.fromEntries(fields.map(([name, expression]) => [name, expression.evaluate(whole)]))
      : Object.fromEntries(shown.map((name) => [name, whole[name]]));
    const tensors = output.tensors === undefined ? undefined : outputs.get(output.tensors);
    const payload = tensors ? withTensors(tensors, meta) : new TextEncoder().encode(JSON.stringify({ ...body, meta }));
    // What it quotes may be text out of a message, and it is read on terminals, which obey control characters.
    const sentence = (summary ? String(summary.evaluate(whole)) : describe(body)).replace(/\p{Cc}+/gu, ' ');
    return {
      topic,
      payload,
      qos: output.qos,
      retain: output.retain,
      summary: sentence.length > SUMMARY_LENGTH ? `${sentence.slice(0, SUMMARY_LENGTH - 1)}…` : sentence,
    };
  };
}

function isTrue(value: unknown): boolean {
  if (typeof value === 'boolean') return value;
  throw new Error(`when: expected true or false, got ${JSON.stringify(value)}`);
}

/** safetensors carries text beside the tensors, one level deep. */
function withTensors(outputs: Readonly<Record<string, EngineValue>>, meta: Meta): Uint8Array {
  const entries = Object.entries(meta).filter(([, value]) => value !== undefined);
  const text = entries.map(([key, value]) => [key, typeof value === 'object' ? JSON.stringify(value) : String(value)]);
  return writeSafetensors(tensorsOf(outputs), Object.fromEntries(text));
}

const FIELDS_SHOWN = 4;

/** `limit 50, unit km/h`: the simple values of a result, where its trigger has no words for it. */
function describe(body: Readonly<Record<string, unknown>>): string {
  const simple = Object.entries(body).filter(([, value]) => value === null || typeof value !== 'object');
  if (simple.length > 0)
    return simple
      .slice(0, FIELDS_SHOWN)
      .map(([name, value]) => `${name} ${value}`)
      .join(', ');
  return JSON.stringify(body);
}
