/** Numbers ↔ texts. Source: ONNX Operators.md, Cast; where it leaves a choice, as onnxruntime does. */
import { isInteger, numbersOf, tensorOf } from '../../compile/evaluate.ts';
import { arrayOf, type DataType, type Tensor } from '../../engine/tensor.ts';
import type { StringTensor } from '../../engine/value.ts';
import { type AnyTensor, texts } from './elements.ts';
import type { HostContext } from './host-context.ts';

/** TensorProto.DataType. */
const STRING = 8;

export function cast(node: HostContext): AnyTensor {
  const source = node.anyTensor(0);
  const to = node.int('to');
  if (to === STRING) return source.type === 'string' ? source : asTexts(source);
  if (source.type === 'string') return asNumbers(source, node.dataType(to), node);
  throw new Error(`assertion: a cast from ${source.type} to numbers is for the kernels`);
}

function asTexts(source: Tensor): StringTensor {
  if (source.type === 'bool')
    return texts(
      source.dims,
      numbersOf(source).map((value) => (value ? '1' : '0')),
    );
  if (isInteger(source.type)) {
    const numbers = source.data as Exclude<Tensor['data'], BigInt64Array | BigUint64Array>;
    return texts(
      source.dims,
      Array.from(numbers, (value) => `${value}`),
    );
  }
  return texts(source.dims, numbersOf(source).map(numberText));
}

/** Significant digits, for float64 too. */
const DIGITS = 8;

/** As C's `%g`. */
export function numberText(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? 'INF' : '-INF';
  if (value === 0) return Object.is(value, -0) ? '-0' : '0';
  const [mantissa = '', exponentText = '0'] = value.toExponential(DIGITS - 1).split('e');
  const exponent = Number(exponentText);
  const short = (text: string): string => (text.includes('.') ? text.replace(/\.?0+$/, '') : text);
  if (exponent >= -4 && exponent < DIGITS) return short(value.toFixed(DIGITS - 1 - exponent));
  return `${short(mantissa)}e${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`;
}

function asNumbers(source: StringTensor, type: DataType, node: HostContext): Tensor {
  if (type === 'bool') throw node.unsupported('a cast from string to bool');
  if (isInteger(type)) {
    const data = new (arrayOf(type))(source.data.length);
    for (const [index, text] of source.data.entries()) data[index] = integerOf(text, type, data) as number & bigint;
    return { type, dims: source.dims, data };
  }
  return tensorOf(type, source.dims, source.data.map(floatOf));
}

function integerOf(text: string, type: DataType, data: Tensor['data']): number | bigint {
  const trimmed = text.trim();
  if (/^[+-]?\d{1,20}$/.test(trimmed)) {
    const whole = BigInt(trimmed.replace('+', ''));
    const bits = data.BYTES_PER_ELEMENT * 8;
    const fitting = type.startsWith('u') ? BigInt.asUintN(bits, whole) : BigInt.asIntN(bits, whole);
    if (fitting === whole)
      return data instanceof BigInt64Array || data instanceof BigUint64Array ? whole : Number(whole);
  }
  throw new Error(`expected texts of whole numbers in the range of ${type}, got ${JSON.stringify(text.slice(0, 40))}`);
}

function floatOf(text: string): number {
  const trimmed = text.trim();
  if (/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(trimmed)) return Number(trimmed);
  const [, sign, word] = /^([+-]?)(inf|infinity|nan)$/i.exec(trimmed) ?? [];
  if (word === undefined) throw new Error(`expected texts of numbers, got ${JSON.stringify(text.slice(0, 40))}`);
  if (word.toLowerCase() === 'nan') return Number.NaN;
  return sign === '-' ? -Infinity : Infinity;
}
