/** A zod object as flags and positionals of the command line, and back. */
import { type Command, Option } from 'commander';
import type * as z from 'zod';

interface Property {
  readonly type?: string;
  readonly description?: string;
  readonly enum?: readonly string[];
  readonly default?: unknown;
}

/** Declares what `schema` takes on a commander command: keys in `positionals` by position, the others as `--kebab-case`. */
export function declareFlags(command: Command, schema: z.ZodObject, positionals: readonly string[]): void {
  const required = new Set(jsonSchemaOf(schema).required);
  for (const key of positionals)
    command.argument(required.has(key) ? `<${key}>` : `[${key}]`, propertyOf(schema, key).description);
  for (const key of Object.keys(schema.shape).filter((candidate) => !positionals.includes(candidate))) {
    const { type, description, enum: choices, default: preset } = propertyOf(schema, key);
    const value = type === 'boolean' ? '' : type === 'array' ? ' <value...>' : ' <value>';
    const option = new Option(`--${kebab(key)}${value}`, description);
    if (choices) option.choices([...choices]);
    if (preset !== undefined) option.default(preset);
    if (required.has(key)) option.makeOptionMandatory();
    command.addOption(option);
  }
}

/** What commander collected, by the schema's own keys. */
export function collectFlags(
  schema: z.ZodObject,
  positionals: readonly string[],
  words: readonly unknown[],
  options: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const named = Object.entries(options).filter(([key]) => key in schema.shape);
  const placed = positionals.map((key, index) => [key, words[index]]);
  return Object.fromEntries([...named, ...placed].filter(([, value]) => value !== undefined));
}

function jsonSchemaOf(schema: z.ZodObject): { properties: Record<string, Property>; required: string[] } {
  const { properties = {}, required = [] } = schema.toJSONSchema({ io: 'input', unrepresentable: 'any' });
  return { properties: properties as Record<string, Property>, required };
}

function propertyOf(schema: z.ZodObject, key: string): Property {
  return jsonSchemaOf(schema).properties[key] ?? {};
}

function kebab(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
