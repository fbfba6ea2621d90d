/**
 * CEL expressions of a trigger, compiled once. Language: https://github.com/google/cel-spec.
 *
 * One liberty: JSON knows only one kind of number, which CEL calls a double, and whole numbers written in an
 * expression are integers. CEL refuses to mix the two in arithmetic; here `speed * 2` is allowed and gives a double.
 */
import { setFlagsFromString } from 'node:v8';
import { Environment } from '@marcbachmann/cel-js';

// `matches` takes text and perhaps the pattern from a message, and JavaScript's regular expressions may need time that
// doubles with every character. With this, V8 goes on in linear time where one takes long (v8.dev/blog/non-backtracking-regexp);
// only patterns with a back reference or looking around are left out, which CEL's own do not have.
setFlagsFromString('--enable-experimental-regexp-engine-on-excessive-backtracks');

export type Scope = Readonly<Record<string, unknown>>;

export interface Expression {
  readonly text: string;
  /** Plain JSON values; whole numbers become numbers. Throws an Error that names the expression. */
  evaluate(scope: Scope): unknown;
}

/** `variables` are the names that the expression may use. Throws an Error that names the expression and what is wrong. */
export function compileExpression(text: string, variables: readonly string[]): Expression {
  const environment = arithmetic.clone();
  for (const name of variables) {
    if (environment.hasVariable(name)) throw new Error(`"${name}" has a meaning in expressions; choose another name`);
    environment.registerVariable(name, 'dyn');
  }
  const checked = environment.check(text);
  if (!checked.valid) throw new Error(`expression "${text}": ${firstLine(checked.error)}`, { cause: checked.error });
  const run = environment.parse(text);
  return {
    text,
    evaluate: (scope) => {
      try {
        return plain(run(scope as Record<string, unknown>), 0);
      } catch (cause) {
        throw new Error(`expression "${text}": ${firstLine(cause)}`, { cause });
      }
    },
  };
}

const arithmetic = new Environment({ homogeneousAggregateLiterals: false });
for (const [operator, apply] of [
  ['+', (a: number, b: number) => a + b],
  ['-', (a: number, b: number) => a - b],
  ['*', (a: number, b: number) => a * b],
  ['/', (a: number, b: number) => a / b],
] as const) {
  arithmetic.registerOperator(`double ${operator} int`, (a: number, b: bigint) => apply(a, Number(b)));
  arithmetic.registerOperator(`int ${operator} double`, (a: bigint, b: number) => apply(Number(a), b));
}

/** The library's messages draw a picture of the place below the first line. */
function firstLine(error: unknown): string {
  return String((error as Error).message ?? error).split('\n')[0] as string;
}

const DEPTH_MAX = 32;

/** CEL's integers are BigInt, which JSON does not have. */
function plain(value: unknown, depth: number): unknown {
  if (depth > DEPTH_MAX) throw new Error(`expected at most ${DEPTH_MAX} levels of lists and maps`);
  if (typeof value === 'bigint') return Number(value);
  if (value === null || typeof value === 'string' || typeof value === 'boolean' || typeof value === 'number')
    return value;
  if (Array.isArray(value)) return value.map((item) => plain(item, depth + 1));
  if (value instanceof Map || Object.getPrototypeOf(value) === Object.prototype) {
    const entries = value instanceof Map ? [...value] : Object.entries(value as object);
    return Object.fromEntries(entries.map(([key, item]) => [String(key), plain(item, depth + 1)]));
  }
  throw new Error(
    `expected text, a number, true or false, null, a list or a map, got ${(value as object)?.constructor?.name}`,
  );
}
