/** What is done with a damaged model: read, compiled for the shapes that it states, and run when that is little work. */
import { tensorOf } from '../../../runtime/compile/evaluate.ts';
import { elementCount } from '../../../runtime/engine/tensor.ts';
import type { EngineValue } from '../../../runtime/engine/value.ts';
import type { OnnxModel } from '../../../runtime/onnx/graph.ts';
import { readModel } from '../../../runtime/onnx/read.ts';
import { isDataType } from '../../../runtime/onnx/tensor-data.ts';
import type { Random } from '../../random.ts';
import { BoundError, TestModel } from '../../runtime/compile/run-program.ts';

/** `answered` and `compiled` hold no error; `refused` with a sentence; `violation`: what must not happen. */
export type Outcome =
  | { readonly kind: 'answered' | 'compiled' | 'refused' }
  | { readonly kind: 'violation'; readonly why: string };

/** Bytes of a program and its run up to which it is run, and programs and rounds of loops of one run. */
const RUN_BYTES_MAX = 2 ** 20;
const RUN_STEPS_MAX = 100;
const INPUT_ELEMENTS_MAX = 2 ** 16;
const TEXTS = ['', 'a', 'b c', '-1.5', 'ä€😀'];
const REFUSALS: ReadonlySet<string> = new Set([
  ...['Error', 'UnsupportedError', 'MemoryLimitError', 'NeedsValueError', 'NodeError'],
  // Of the library for regular expressions, as the cause of a sentence of ours.
  'RE2JSSyntaxException',
]);
/** The kernels' fault for an index outside its tensor, which only a run can find. */
const INDEX_FAULT = /^fault -3 /;

/** Reads each tensor as the compiler would, and gives symbolic dimensions small sizes. */
function inputsOf(model: OnnxModel, random: Random): Record<string, EngineValue> {
  const sizes = new Map<string, number>();
  const inputs = model.graph.inputs.map(({ name, type, dims }): [string, EngineValue] => {
    const concrete = dims.map((dim) => {
      if (typeof dim === 'number') return dim;
      const size = (dim !== null && sizes.get(dim)) || 1 + random.below(4);
      if (dim !== null) sizes.set(dim, size);
      return size;
    });
    const count = elementCount(concrete);
    if (type === 'string' && count <= INPUT_ELEMENTS_MAX)
      return [name, { type, dims: concrete, data: Array.from({ length: count }, () => random.pick(TEXTS)) }];
    if (!isDataType(type)) throw new Error(`input "${name}": no elements of type ${type}`);
    // Its shape alone is of use to the compiler where it is too large to be run.
    const values = Array.from({ length: count <= INPUT_ELEMENTS_MAX ? count : 0 }, () => random.below(5) - 1);
    return [name, { type, dims: concrete, data: tensorOf(type, [values.length], values).data }];
  });
  return Object.fromEntries(inputs);
}

/** The first error in a chain of causes that is no refusal. */
function violationIn(error: unknown): string | undefined {
  for (let each = error; each !== undefined; each = (each as Error).cause) {
    if (!(each instanceof Error)) return `thrown: ${String(each)}`;
    if (!REFUSALS.has(each.name) || /assertion|\bfault -/.test(each.message))
      return `${each.name}: ${each.message}\n${each.stack}`;
  }
  const { message } = error as Error;
  return message.length < 10 || message.length > 20_000 ? `no sentence: "${message.slice(0, 200)}"` : undefined;
}

export function attempt(bytes: Uint8Array, random: Random): Outcome {
  try {
    const file = readModel(bytes);
    new TestModel(file, { stepsMax: RUN_STEPS_MAX, bytesMax: RUN_BYTES_MAX }).runValues(inputsOf(file, random));
    return { kind: 'answered' };
  } catch (error) {
    if (error instanceof BoundError) return { kind: 'compiled' };
    if (error instanceof Error && INDEX_FAULT.test(error.message)) return { kind: 'refused' };
    const why = violationIn(error);
    return why === undefined ? { kind: 'refused' } : { kind: 'violation', why };
  }
}
