import * as z from 'zod';
import { ALL_ERRORS } from '../../runtime/protocol/topics.ts';
import { parseTemplate } from '../../runtime/triggers/topic-filter.ts';
import type { LiveResult, TriggerView } from '../controller/service.ts';
import { defineCommand } from './command.ts';
import { printable } from './text.ts';

const TEXT_CHARACTERS_MAX = 300;

/** One message as it passed: parsed where it is JSON, base64 otherwise. */
interface WatchEvent {
  readonly topic: string;
  readonly at: number;
  readonly json?: unknown;
  readonly base64?: string;
}

export const watch = defineCommand({
  name: ['watch'],
  summary: 'Show results and errors as they pass',
  arguments: z.strictObject({
    filter: z.string().optional().describe('MQTT topic filter; all results and errors of all triggers when absent'),
  }),
  positionals: ['filter'],
  permission: 'read',
  async run({ filter }, { controller, signal, emit }) {
    const filters = filter === undefined ? resultFilters(await controller.triggers()) : [filter];
    // When one of them ends with an error, the others end too.
    const ended = new AbortController();
    const either = AbortSignal.any([signal, ended.signal]);
    try {
      await Promise.all(filters.map((one) => controller.watch(one, (result) => emit(eventOf(result)), either)));
    } finally {
      ended.abort();
    }
  },
  render: () => '',
  renderEvent(event, style) {
    const { topic, at, json, base64 } = event as WatchEvent;
    const text = json === undefined ? `${Buffer.from(base64 ?? '', 'base64').byteLength} bytes` : JSON.stringify(json);
    const time = new Date(at).toISOString().slice(11, 23);
    return `${style.dim(time)} ${style.bold(printable(topic))} ${printable(text.slice(0, TEXT_CHARACTERS_MAX))}`;
  },
});

/** Where the triggers publish, with every variable as a wildcard, and where nodes report messages they could not answer. */
function resultFilters(triggers: readonly TriggerView[]): string[] {
  const topics = triggers.map(({ trigger }) => {
    const names = [...trigger.output.topic.matchAll(/\{(\w+)\}/g)].map((match) => match[1] as string);
    const wildcards = Object.fromEntries(names.map((name) => [name, '+']));
    const filled = parseTemplate(trigger.output.topic, names).fill(wildcards);
    // A variable may be a part of its level only; a wildcard always fills the level (MQTT 3.1.1, 4.7.1.3).
    return filled
      .split('/')
      .map((level) => (level.includes('+') ? '+' : level))
      .join('/');
  });
  return [...new Set([...topics, ALL_ERRORS])];
}

function eventOf({ topic, payload, at }: LiveResult): WatchEvent {
  try {
    return { topic, at, json: JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload)) };
  } catch {
    return { topic, at, base64: Buffer.from(payload).toString('base64') };
  }
}
