/** Inputs of a run against what the model declares. */
import { arrayOf, elementCount, smallRanges, type Tensor, type ValueDescription } from './tensor.ts';
import { type EngineValue, isHostValue, type StringTensor } from './value.ts';

/** Throws an Error that names the input when one is missing, unknown, or of the wrong type, shape or length. */
export function checkInputs(
  model: string,
  declared: readonly ValueDescription[],
  given: Readonly<Record<string, EngineValue>>,
): void {
  for (const name of Object.keys(given)) {
    if (declared.some((input) => input.name === name)) continue;
    const known = declared.map((input) => `"${input.name}"`).join(', ');
    throw new Error(`model "${model}" has no input "${name}": expected ${known}`);
  }
  for (const input of declared) {
    const value = Object.hasOwn(given, input.name) ? given[input.name] : undefined;
    if (!isFitting(input, value)) checkValue(`model "${model}", input "${input.name}"`, input, value);
  }
}

/** Whether a value is the plain tensor that was declared: what nearly all are, told without a word about it. */
function isFitting(input: ValueDescription, value: EngineValue | undefined): boolean {
  if (value === undefined || isHostValue(value) || value.type !== input.type || smallRanges[value.type]) return false;
  const { dims, data } = value;
  if (!dimsAgree(input.dims, dims) || !dims.every((dim) => Number.isSafeInteger(dim) && dim >= 0)) return false;
  return data instanceof arrayOf(value.type) && data.length === elementCount(dims);
}

/** Items are of the declared type inside; an optional input also takes the value itself. */
function checkValue(place: string, input: ValueDescription, value: EngineValue | undefined): void {
  if (value === undefined) throw new Error(`${place}: expected ${describeInput(input)}, got nothing`);
  const [, outer, inner = ''] = /^(seq|sequence|optional|map|tensor)\((.*)\)$/.exec(input.type) ?? [];
  const declared = { ...input, type: inner };
  switch (outer) {
    case 'tensor':
      checkValue(place, declared, value);
      return;
    case 'seq':
    case 'sequence':
      if (value.type !== 'sequence') throw new Error(`${place}: expected ${input.type}, got ${value.type}`);
      for (const item of value.items) checkValue(place, declared, item);
      return;
    case 'optional':
      if (value.type !== 'optional') checkValue(place, declared, value);
      else if (value.value) checkValue(place, declared, value.value);
      return;
    case 'map':
      if (value.type !== 'map') throw new Error(`${place}: expected ${input.type}, got ${value.type}`);
      return;
    default:
      if (isHostValue(value) && value.type !== 'string')
        throw new Error(`${place}: expected ${describeInput(input)}, got ${value.type}`);
      checkTensor(place, input, value);
  }
}

function checkTensor(place: string, input: ValueDescription, tensor: Tensor | StringTensor): void {
  const got = `${tensor.type} [${tensor.dims.join(', ')}]`;
  if (tensor.type !== input.type || !dimsAgree(input.dims, tensor.dims)) {
    throw new Error(`${place}: expected ${describeInput(input)}, got ${got}`);
  }
  if (!tensor.dims.every((dim) => Number.isSafeInteger(dim) && dim >= 0)) {
    throw new Error(`${place}: expected dimensions of 0 or more, got ${got}`);
  }
  if (tensor.type === 'string') checkTexts(place, tensor);
  else checkNumbers(place, tensor, got);
}

function checkTexts(place: string, { dims, data }: StringTensor): void {
  if (!Array.isArray(data) || !data.every((text) => typeof text === 'string'))
    throw new Error(`${place}: expected data in an array of texts`);
  const count = elementCount(dims);
  if (data.length !== count)
    throw new Error(`${place}: string [${dims.join(', ')}] takes ${count} elements, got ${data.length}`);
}

function checkNumbers(place: string, tensor: Tensor, got: string): void {
  const array = arrayOf(tensor.type);
  if (!(tensor.data instanceof array)) throw new Error(`${place}: expected data in a ${array.name} for ${got}`);
  const count = elementCount(tensor.dims);
  if (tensor.data.length !== count)
    throw new Error(`${place}: ${got} takes ${count} elements, got ${tensor.data.length}`);
  const range = smallRanges[tensor.type];
  const stray = range && (tensor.data as Int8Array).find((value) => value < range[0] || value > range[1]);
  if (stray !== undefined)
    throw new Error(`${place}: expected elements from ${range?.[0]} to ${range?.[1]} for ${got}, got ${stray}`);
}

/** A file that states no shape at all reads like one that states a scalar, so that `[]` takes every shape. */
function dimsAgree(declared: ValueDescription['dims'], dims: readonly number[]): boolean {
  if (declared.length === 0) return true;
  if (declared.length !== dims.length) return false;
  return declared.every((dim, axis) => typeof dim !== 'number' || dim === dims[axis]);
}

function describeInput(input: ValueDescription): string {
  return `${input.type} [${input.dims.map((dim) => dim ?? '?').join(', ')}]`;
}
