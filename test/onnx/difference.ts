/** Compares values as ONNX's own backend tests do. */
import { numbersOf } from '../../runtime/compile/evaluate.ts';
import type { Tensor } from '../../runtime/engine/tensor.ts';
import type { EngineValue, MapValue, StringTensor } from '../../runtime/engine/value.ts';

const RELATIVE = 1e-3;
const ABSOLUTE = 1e-7;
/** Sums of float32 in another order differ by this much of the largest number, whatever the single number's size. */
const OF_LARGEST = 1e-6;

/** Where two values differ, or nothing. */
export function difference(got: EngineValue | undefined, wanted: EngineValue): string | undefined {
  if (got?.type !== wanted.type) return `${got?.type} instead of ${wanted.type}`;
  switch (wanted.type) {
    case 'sequence':
      return sequenceDifference((got as typeof wanted).items, wanted.items);
    case 'optional': {
      const { value } = got as typeof wanted;
      if (value && wanted.value) return difference(value, wanted.value);
      return value === wanted.value ? undefined : `${value?.type} instead of ${wanted.value?.type}`;
    }
    case 'map':
      return mapDifference(got as MapValue, wanted);
    default:
      return tensorDifference(got as Tensor | StringTensor, wanted);
  }
}

function sequenceDifference(got: readonly EngineValue[], wanted: readonly EngineValue[]): string | undefined {
  if (got.length !== wanted.length) return `${got.length} items instead of ${wanted.length}`;
  for (const [index, item] of wanted.entries()) {
    const wrong = difference(got[index], item);
    if (wrong) return `item ${index}: ${wrong}`;
  }
  return undefined;
}

function mapDifference(got: MapValue, wanted: MapValue): string | undefined {
  if (got.valueType !== wanted.valueType) return `${got.valueType} instead of ${wanted.valueType}`;
  if (got.entries.size !== wanted.entries.size) return `${got.entries.size} keys instead of ${wanted.entries.size}`;
  for (const [key, value] of wanted.entries) {
    const own = got.entries.get(key);
    const off = Math.abs(Number(own) - Number(value));
    if (own !== value && !(off <= ABSOLUTE + RELATIVE * Math.abs(Number(value))))
      return `${own} instead of ${value} for ${key}`;
  }
  return undefined;
}

function tensorDifference(got: Tensor | StringTensor, wanted: Tensor | StringTensor): string | undefined {
  if (got.dims.join() !== wanted.dims.join()) return `[${got.dims}] instead of [${wanted.dims}]`;
  if (got.type === 'string' || wanted.type === 'string') {
    const at = wanted.data.findIndex((text, i) => got.data[i] !== text);
    return at < 0 ? undefined : `element ${at} is "${got.data[at]}" instead of "${wanted.data[at]}"`;
  }
  const [a, b] = [numbersOf(got), numbersOf(wanted)];
  const largest = b.reduce((most, value) => (Number.isFinite(value) ? Math.max(most, Math.abs(value)) : most), 0);
  const allowed = ABSOLUTE + OF_LARGEST * largest;
  const at = b.findIndex((value, i) => {
    const own = a[i] as number;
    if (!Number.isFinite(value)) return !Object.is(own, value);
    return !(Math.abs(own - value) <= allowed + RELATIVE * Math.abs(value));
  });
  return at < 0 ? undefined : `element ${at} is ${a[at]} instead of ${b[at]}`;
}
