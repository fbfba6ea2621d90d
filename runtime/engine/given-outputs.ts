/** Arrays that a caller gives for outputs to be written to (RunOptions.outputs). */
import { arrayOf, elementCount, type Tensor, type TypedArray, type ValueDescription } from './tensor.ts';
import { type EngineValue, isHostValue } from './value.ts';

export type GivenOutputs = Readonly<Record<string, TypedArray>>;

/** Throws an Error that names the first output that the model does not have. */
export function checkNames(model: string, outputs: readonly ValueDescription[], given: GivenOutputs = {}): void {
  for (const name of Object.keys(given)) {
    if (outputs.some((output) => output.name === name)) continue;
    const known = outputs.map((output) => `"${output.name}"`).join(', ');
    throw new Error(`model "${model}" has no output "${name}" to write to an array: expected ${known}`);
  }
}

export function arrayOfName(name: string, given: GivenOutputs = {}): TypedArray | undefined {
  return Object.hasOwn(given, name) ? given[name] : undefined;
}

/** The array for an output, or undefined when it is to have a new one. Throws an Error that names the output when the array does not fit. */
export function arrayFor(
  model: string,
  { name, type, dims }: Omit<Tensor, 'data'> & { readonly name: string },
  given: GivenOutputs = {},
): TypedArray | undefined {
  const array = arrayOfName(name, given);
  if (array === undefined) return undefined;
  const wanted = arrayOf(type);
  const count = elementCount(dims);
  if (array instanceof wanted && array.length === count) return array;
  const got = ArrayBuffer.isView(array) ? `${array.constructor.name} of ${array.length}` : typeof array;
  const place = `model "${model}", output "${name}"`;
  throw new Error(`${place}: expected ${wanted.name} of ${count} elements to write to, got ${got}`);
}

/** The outputs of a run, those that have an array in it. Throws as arrayFor does, before anything is written. */
export function intoGiven(
  model: string,
  outputs: Readonly<Record<string, EngineValue>>,
  given: GivenOutputs = {},
): Readonly<Record<string, EngineValue>> {
  const arrays = Object.keys(given).map((name) => {
    const value = outputs[name] as EngineValue;
    if (isHostValue(value)) throw new Error(`model "${model}", output "${name}": a ${value.type} fits into no array`);
    return { name, value, array: arrayFor(model, { ...value, name }, given) as TypedArray };
  });
  for (const { value, array } of arrays) array.set(value.data as Float32Array & BigInt64Array);
  return {
    ...outputs,
    ...Object.fromEntries(arrays.map(({ name, value, array }) => [name, { ...value, data: array }])),
  };
}
