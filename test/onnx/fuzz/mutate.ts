/** Damage to model files: by the field, as a careless or malicious exporter does it, and by the byte, as disks and networks do. */
import type { Random } from '../../random.ts';
import { allMessages, type Field, isMessage, type Message, readTree, writeTree } from './tree.ts';

const NUMBERS = [0, 1, 2, 3, 4, 5, 7, 8, 9, 11, 16, 17, 27, 31, 64, 127, 128, 255, 256, 1000, 4096, 65_535, 65_536];
const EXTREMES = [
  -1,
  -2,
  -3,
  -128,
  2 ** 20,
  2 ** 24,
  2 ** 30,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32,
  2 ** 53,
  2 ** 62,
  -(2 ** 31),
  -(2 ** 63),
];
const FLOATS = [0, -0, 1, -1, 0.5, 1e-45, 1e-8, 1e8, 3.4e38, -3.4e38, NaN, Infinity, -Infinity];
const CHANGES_MAX = 4;

type Change = (
  random: Random,
  field: Field,
  siblings: Field[],
  all: readonly Message[],
  donor: readonly Message[],
) => void;

function number(random: Random, field: Field): void {
  const before = field.value as number;
  const near = [before + 1, before - 1, -before, before * 2];
  field.value = random.pick([random.pick(near), random.pick(NUMBERS), random.pick(NUMBERS), random.pick(EXTREMES)]);
}

function fixed(random: Random, field: Field): void {
  const bytes = new Uint8Array((field.value as { fixed: Uint8Array }).fixed);
  const view = new DataView(bytes.buffer);
  const value = random.pick(FLOATS);
  if (bytes.length === 4) view.setFloat32(0, value, true);
  else view.setFloat64(0, value, true);
  field.value = { fixed: bytes };
}

/** Another text of the file, so that names meet where they should not: cycles, doubles, wrong operators and modes. */
function text(random: Random, field: Field, _: Field[], all: readonly Message[], donor: readonly Message[]): void {
  const from = random.below(4) > 0 ? all : donor;
  const texts = from.flatMap((message) =>
    message.fields.flatMap(({ value }) => (typeof value === 'string' ? [value] : [])),
  );
  const odd = ['', 'x'.repeat(5000), '__proto__', 'constructor', '\u0000', '../../etc/passwd', '\u001b[2J'];
  field.value = random.below(8) === 0 ? random.pick(odd) : (random.pick(texts) ?? '');
}

/** Packed numbers, raw data, texts of attributes. */
function content(random: Random, field: Field): void {
  const bytes = field.value as Uint8Array;
  const how = random.below(5);
  if (how === 0) field.value = bytes.slice(0, random.below(bytes.length + 1));
  else if (how === 1) field.value = new Uint8Array([...bytes.subarray(0, 4096), ...bytes.subarray(0, 16)]);
  else if (how === 2 && bytes.length >= 4) {
    const copy = bytes.slice();
    new DataView(copy.buffer).setFloat32(4 * random.below(Math.floor(bytes.length / 4)), random.pick(FLOATS), true);
    field.value = copy;
  } else field.value = damageBytes(random, bytes);
}

function duplicate(_: Random, field: Field, siblings: Field[]): void {
  siblings.splice(siblings.indexOf(field), 0, structuredClone(field));
}

function remove(_: Random, field: Field, siblings: Field[]): void {
  siblings.splice(siblings.indexOf(field), 1);
}

function swap(random: Random, field: Field, siblings: Field[]): void {
  const other = random.pick(siblings);
  const [i, j] = [siblings.indexOf(field), siblings.indexOf(other)];
  [siblings[i], siblings[j]] = [other, field];
}

/** A message of the same type from elsewhere, of this file or of another one. */
function transplant(
  random: Random,
  field: Field,
  _: Field[],
  all: readonly Message[],
  donor: readonly Message[],
): void {
  if (!isMessage(field.value)) return;
  const { type } = field.value;
  const found = [...all, ...donor].filter((message) => message.type === type);
  field.value = structuredClone(random.pick(found));
}

/** A field that the file did not have: more dimensions, attributes, inputs. */
function insert(random: Random, _: Field, siblings: Field[]): void {
  const tag = random.pick([1, 2, 3, 4, 5, 7, 8, 14, 20]);
  siblings.push({ tag, value: random.pick([random.pick(NUMBERS), random.pick(EXTREMES), 'x', new Uint8Array(3)]) });
}

function changeOne(random: Random, root: Message, donor: Message): void {
  const all = allMessages(root);
  const fields = all.flatMap((message) => message.fields.map((field) => [field, message.fields] as const));
  if (fields.length === 0) return;
  const [field, siblings] = random.pick(fields);
  const { value } = field;
  const own: Change = isMessage(value)
    ? transplant
    : typeof value === 'number'
      ? number
      : typeof value === 'string'
        ? text
        : value instanceof Uint8Array
          ? content
          : fixed;
  const change = random.pick([own, own, own, own, duplicate, remove, swap, insert]);
  change(random, field, siblings, all, allMessages(donor));
}

function damageBytes(random: Random, bytes: Uint8Array): Uint8Array {
  const copy = bytes.slice();
  if (copy.length === 0) return copy;
  const at = random.below(copy.length);
  switch (random.below(6)) {
    case 0:
      return copy.slice(0, at);
    case 1:
      return new Uint8Array([...copy.subarray(0, at), random.below(256), ...copy.subarray(at)]);
    case 2:
      return new Uint8Array([...copy.subarray(0, at), ...copy.subarray(at + 1 + random.below(8))]);
    case 3:
      copy.fill(random.pick([0, 0xff, 0x80, 0x7f]), at, at + 1 + random.below(10));
      return copy;
    default:
      copy[at] = (copy[at] as number) ^ (1 << random.below(8));
      return copy;
  }
}

/** A damaged file made of `bytes` and, now and then, of parts of `donor`. */
export function mutate(random: Random, bytes: Uint8Array, donor: Uint8Array): Uint8Array {
  const how = random.below(10);
  if (how === 0)
    return new Uint8Array([
      ...bytes.subarray(0, random.below(bytes.length)),
      ...donor.subarray(random.below(donor.length)),
    ]);
  let result = bytes;
  if (how > 1) {
    const root = readTree(bytes);
    const other = readTree(donor);
    for (let changes = 1 + random.below(CHANGES_MAX); changes > 0; changes--) changeOne(random, root, other);
    result = writeTree(root);
  }
  for (let changes = how <= 2 ? 1 + random.below(CHANGES_MAX) : 0; changes > 0; changes--)
    result = damageBytes(random, result);
  return result;
}
