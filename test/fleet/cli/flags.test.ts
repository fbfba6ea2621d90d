/** Zod schemas as flags and positionals of commander, and back. */
import { Command } from 'commander';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import * as z from 'zod';
import { collectFlags, declareFlags } from '../../../fleet/cli/flags.ts';

const schema = z.strictObject({
  file: z.string().describe('what to read'),
  timeoutMs: z.int().default(30),
  kind: z.enum(['a', 'b']).optional(),
  label: z.array(z.string()).optional(),
  dryRun: z.boolean().optional(),
});
const positionals = ['file'];

function parse(...words: string[]): Record<string, unknown> {
  let collected: Record<string, unknown> = {};
  const command = new Command('try').exitOverride().configureOutput({ writeErr: () => {} });
  declareFlags(command, schema, positionals);
  command.action((...given: unknown[]) => {
    collected = collectFlags(schema, positionals, given.slice(0, -2), command.opts());
  });
  command.parse(words, { from: 'user' });
  return collected;
}

test('keys become flags in kebab-case, listed keys positionals, and come back under the names of the schema', () => {
  assert.equal(parse('x.txt', '--timeout-ms', '7', '--kind', 'b', '--label', 'p=1', 'q=2', '--dry-run'), {
    file: 'x.txt',
    timeoutMs: '7',
    kind: 'b',
    label: ['p=1', 'q=2'],
    dryRun: true,
  });
});

test('what was not given is left out, but for defaults', () => {
  assert.equal(parse('x.txt'), { file: 'x.txt', timeoutMs: 30 });
});

test('a required key that is missing, a value outside the list and a flag that is unknown are refused', () => {
  assert.throws(() => parse(), /missing required argument 'file'/);
  assert.throws(() => parse('x.txt', '--kind', 'c'), /Allowed choices are a, b/);
  assert.throws(() => parse('x.txt', '--colour'), /unknown option '--colour'/);
  const command = new Command('try').exitOverride().configureOutput({ writeErr: () => {} });
  declareFlags(command, schema, []);
  assert.throws(() => command.parse([], { from: 'user' }), /required option '--file <value>' not specified/);
});

test('help shows descriptions and defaults', () => {
  const command = new Command('try');
  declareFlags(command, schema, positionals);
  const help = command.helpInformation();
  assert.match(help, /file +what to read/);
  assert.match(help, /--timeout-ms <value> +\(default: 30\)/);
  assert.match(help, /--kind <value> +\(choices: "a", "b"\)/);
});

test.run();
