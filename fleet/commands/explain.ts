/** What the compiler makes of a model file, without running it. */
import { basename, dirname } from 'node:path';
import * as z from 'zod';
import { tensorOf } from '../../runtime/compile/evaluate.ts';
import type { Counts, Explanation } from '../../runtime/compile/explain.ts';
import type { InputShape } from '../../runtime/compile/trace.ts';
import { elementCount, type ValueDescription } from '../../runtime/engine/tensor.ts';
import { externalReader } from '../../runtime/onnx/external-io.ts';
import { readModel } from '../../runtime/onnx/read.ts';
import { isDataType } from '../../runtime/onnx/tensor-data.ts';
import { MODEL_BYTES_MAX } from '../controller/model-file.ts';
import { defineCommand, type Style } from './command.ts';
import { readLocalFile } from './files-io.ts';
import { bytesText, dimsText } from './text.ts';

/** Kinds of operations in one cell; --json has all. */
const NAMES_SHOWN = 6;

interface Result extends Explanation {
  readonly model: string;
  readonly inputs: Readonly<Record<string, readonly number[]>>;
  /** What the file leaves open and nobody gave. */
  readonly assumptions: readonly string[];
}

export const modelsExplain = defineCommand({
  name: ['models', 'explain'],
  summary: 'Say what the compiler makes of an ONNX file: what is fused, what it costs, what falls back and why',
  arguments: z.strictObject({
    file: z.string().describe('ONNX file'),
    shape: z
      .array(z.string())
      .optional()
      .describe('shape of an input, as name=1,3,224,224; open dimensions are 1 else'),
    value: z.array(z.string()).optional().describe('contents of an input that decides shapes, as name=16000'),
  }),
  positionals: ['file'],
  permission: 'read',
  isLocal: true,
  run: async ({ file, shape, value }) => explain(file, parsePairs('shape', shape), parsePairs('value', value)),
  render: renderExplanation,
});

/** `name=1,2,3` → name and numbers. A name may hold `=` and `,` itself: what stands behind the last `=` are the numbers. */
function parsePairs(flag: string, given: readonly string[] = []): Map<string, number[]> {
  const pairs = given.map((text): [string, number[]] => {
    const at = text.lastIndexOf('=');
    const numbers =
      at < 1 || at === text.length - 1
        ? [Number.NaN]
        : text
            .slice(at + 1)
            .split(',')
            .map(Number);
    if (
      !numbers.every((number) =>
        flag === 'shape' ? Number.isSafeInteger(number) && number >= 0 : !Number.isNaN(number),
      )
    )
      throw new Error(`--${flag}: expected name=number,number…, got "${text}"`);
    return [text.slice(0, at), numbers];
  });
  return new Map(pairs);
}

async function explain(file: string, shapes: Map<string, number[]>, values: Map<string, number[]>): Promise<Result> {
  const bytes = await readLocalFile(file, MODEL_BYTES_MAX);
  // Loaded when it is asked for: no other command needs the compiler.
  const { explainModel, NeedsValueError } = await import('../../runtime/compile/explain.ts');
  const model = readModel(bytes, { readExternal: externalReader(dirname(file)) });
  const declared = model.graph.inputs;
  for (const [flag, names] of [
    ['shape', shapes],
    ['value', values],
  ] as const)
    for (const name of names.keys())
      if (!declared.some((input) => input.name === name))
        throw new Error(
          `--${flag}: expected an input of the model (${declared.map((input) => input.name).join(', ')}), got "${name}"`,
        );
  const assumptions: string[] = [];
  const inputs = Object.fromEntries(
    declared.map((input) => [input.name, shapeOf(input, shapes.get(input.name), values.get(input.name), assumptions)]),
  );
  const dims = Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, input.dims]));
  try {
    return { model: basename(file), inputs: dims, assumptions, ...explainModel(model, inputs) };
  } catch (error) {
    const { message } = error as Error;
    if (error instanceof NeedsValueError)
      throw new Error(
        `${file}: ${message}; give it with ${error.inputs.map((name) => `--value ${name}=…`).join(' ')}`,
        {
          cause: error,
        },
      );
    const hint = assumptions.length > 0 ? `; ${assumptions.join('; ')}: give others with --shape` : '';
    throw new Error(`${file}: ${message}${hint}`, { cause: error });
  }
}

function shapeOf(
  { name, type, dims }: ValueDescription,
  given: readonly number[] | undefined,
  value: readonly number[] | undefined,
  assumptions: string[],
): InputShape {
  if (!isDataType(type)) throw new Error(`input "${name}": values of type ${type} are not supported`);
  if (given && given.length !== dims.length)
    throw new Error(`--shape: expected ${dims.length} dimensions for "${name}" ${dimsText(dims)}, got ${given.length}`);
  const sizes = dims.map((dim, axis) => given?.[axis] ?? (typeof dim === 'number' ? dim : 1));
  const clash = dims.findIndex((dim, axis) => typeof dim === 'number' && dim !== sizes[axis]);
  if (clash >= 0) throw new Error(`--shape: expected ${dimsText(dims)} for "${name}", got ${dimsText(sizes)}`);
  if (!given && dims.some((dim) => typeof dim !== 'number'))
    assumptions.push(`assumed ${dimsText(sizes)} for ${name} ${dimsText(dims)}`);
  if (!value) return { type, dims: sizes };
  if (value.length !== elementCount(sizes))
    throw new Error(`--value: expected ${elementCount(sizes)} numbers for "${name}", got ${value.length}`);
  return { type, dims: sizes, value: tensorOf(type, sizes, value) };
}

function countsText(counts: Counts, most = NAMES_SHOWN): string {
  const entries = Object.entries(counts);
  const shown = entries.slice(0, most).map(([name, count]) => `${name} ${count}`);
  return entries.length > most ? `${shown.join(', ')} and ${entries.length - most} kinds more` : shown.join(', ');
}

const sum = (counts: Counts): string => String(Object.values(counts).reduce((total, count) => total + count, 0));

function changesText(changes: Counts): string {
  const signed = Object.entries(changes).map(([name, count]): [string, number] => [
    `${count > 0 ? '+' : '−'}${Math.abs(count)} ${name}`,
    count,
  ]);
  const texts = [...signed.filter(([, count]) => count < 0), ...signed.filter(([, count]) => count > 0)].map(
    ([text]) => text,
  );
  return texts.length > NAMES_SHOWN ? `${texts.slice(0, NAMES_SHOWN).join(', ')} …` : texts.join(', ');
}

function millions(count: number): string {
  return count >= 1e6 ? `${(count / 1e6).toFixed(1)} million` : String(count);
}

function renderExplanation(result: Result, style: Style): string {
  const { model, inputs, assumptions, operators, parameters, fallback, program } = result;
  const taken = Object.entries(inputs).map(([name, dims]) => `${name} ${dimsText(dims)}`);
  const parts = [
    [`${style.bold(model)}: ${taken.join(', ')}`, ...assumptions.map((text) => style.dim(text))].join('\n'),
  ];
  if (!program) {
    const reasons = fallback.map((reason) => `  ${reason}`);
    parts.push(
      [`${style.bad('falls back')} to onnxruntime, because our kernels lack something:`, ...reasons].join('\n'),
    );
    parts.push(`operators: ${countsText(operators)}\nparameters: ${millions(parameters)}`);
    return parts.join('\n\n');
  }
  parts.push(
    style.table(
      ['', 'number', 'of which'],
      [
        ['operators in the file', sum(operators), countsText(operators)],
        ['kernel operations', sum(program.traced), countsText(program.traced)],
        ['after the passes', sum(program.final), countsText(program.final)],
      ],
    ),
    style.table(
      ['pass', 'before', 'after', 'changes'],
      program.passes.map(({ title, before, after, changes }) => [
        title,
        String(before),
        String(after),
        changesText(changes),
      ]),
    ),
    style.table(
      ['', ''],
      [
        ['parameters', millions(parameters)],
        ['multiply-adds a run', millions(program.multiplyAdds)],
        ['peak memory', `${bytesText(program.arenaBytes + program.weightBytes + program.programBytes)}`],
        ['  results of a run', bytesText(program.arenaBytes)],
        ['  packed weights', bytesText(program.weightBytes)],
        ['    without Winograd', bytesText(program.directWeightBytes)],
        ['    not packed', bytesText(program.plainWeightBytes)],
        ['  program and tables', bytesText(program.programBytes)],
      ],
    ),
    `${style.good('runs')} on our kernels; nothing falls back`,
  );
  if (program.directWeightBytes < program.weightBytes)
    parts.push(
      "Convolutions by Winograd's algorithm trade memory for time; where a node's limit for models (--memory) is too small for their weights, it does without.",
    );
  if (program.endsBefore !== undefined)
    parts.push(`This is the first part of the model; what follows is planned during the run: ${program.endsBefore}`);
  return parts.join('\n\n');
}
