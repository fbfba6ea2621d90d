/** A model's labels as a blob: a JSON array of strings in UTF-8, one entry an index. */
import { labelsSchema } from '../protocol/messages.ts';

/** Throws an Error that says what is wrong. */
export function parseLabels(content: Uint8Array): string[] {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(content));
  } catch (cause) {
    throw new Error('labels: expected a JSON array of strings in UTF-8, got something else', { cause });
  }
  const result = labelsSchema.safeParse(value);
  if (!result.success) throw new Error(`labels: expected a JSON array of strings: ${result.error.issues[0]?.message}`);
  return result.data;
}
