/**
 * Neighbouring operations on large images are done in bands: some rows of the first, the rows of the second that these allow, and so on,
 * so that what one makes is still in the cache when the next reads it. Results that nobody else reads are kept in a few rows only, a line
 * buffer, whose last rows move up for the next band. As in M. Alwani et al., "Fused-Layer CNN Accelerators", 2016.
 *
 * Bands follow each other, so cores share them by slices of the image: some bands each, with line buffers in scratch memory of their core. What
 * the bands before would have left in them is computed once more by a core that has not done these (Slice.lead).
 */
import { countUses, type KernelGraph, type Node, type Value } from './graph.ts';
import { bytesOf, type Group } from './plan.ts';
import { heightOf, type Part, partOf, type Rows, readsRows, rowBytesOf, rowsNeeded, worksByRows } from './rows.ts';
import { multiplyAddsOf } from './work.ts';

/** What a band keeps should stay in the second-level cache, which has 512 kB or more, beside weights, scratch and what streams past. */
const BAND_BYTES = 350_000;
/** Intermediate results of fewer bytes stay in the cache without bands. */
const CACHED_BYTES = 300_000;
/** What it costs to begin with a part of a node, as the bytes that could go through memory in that time. */
const PART_BYTES = 12_000;
/** What is saved, of all bytes that the operations read and write: where it is little, bands cost more than they bring. */
const SAVED_MIN = 0.75;
const NODES_MAX = 6;
const BANDS_MIN = 2;
const BANDS_GROWTH = 1.5;
/** From so many bands on their number is a multiple of this, so that slices are alike. */
const BANDS_MULTIPLE = 4;
/** The second band is like all that follow. */
const BANDS_LOOKED_AT = 2;
/** Slices of an image, the most first: even numbers, as most machines have an even number of cores. */
const SLICES = [8, 4, 2];
/** What leads may cost, of all that a group does. */
const LEADS_MAX = 0.1;
/** What an element of a result costs besides its products, in products. */
const ELEMENT_WORK = 8;

export interface BandGroup extends Group {
  readonly bands: number;
  /** Divides the bands. */
  readonly slices: number;
}

export type Step =
  /** Rows of one node. `row` is where an image of the part begins in the memory of the whole one, which may be a line buffer. */
  | { readonly kind: 'part'; readonly node: Node; readonly images: Part['images'] }
  /** Rows [from, from + count) of a line buffer become its first. */
  | { readonly kind: 'move'; readonly value: Value; readonly from: number; readonly count: number };

/** Bands that one core does, after the lead if it has not done those before. */
export interface Slice {
  readonly lead: readonly Step[];
  readonly steps: readonly Step[];
}

/** An image that a member of a group reads. */
interface Reading {
  readonly value: Value;
  readonly index: number;
  /** The member that makes it; -1 for one from elsewhere. */
  readonly maker: number;
}

interface Member {
  readonly node: Node;
  readonly output: Value;
  readonly height: number;
  readonly rowBytes: number;
  /** Nobody else reads the result. */
  readonly isInner: boolean;
  readonly readings: readonly Reading[];
  /** Which members read the result, and as which input. */
  readonly readers: readonly { readonly member: number; readonly index: number }[];
  /** What a row of the result costs, in products. */
  readonly rowWork: number;
}

/** Rows of a member's result that a band adds, and the first row that is still needed when they come. */
interface Addition {
  readonly member: number;
  readonly rows: Rows;
  readonly kept: number;
}

function outputOf(node: Node): Value {
  return node.outputs[0] as Value;
}

/** Inputs of which the node reads rows. */
function imagesOf(node: Node): { readonly value: Value; readonly index: number }[] {
  return node.inputs.flatMap((value, index) => (value && readsRows(node, index) ? [{ value, index }] : []));
}

function membersOf(nodes: readonly Node[], uses: ReadonlyMap<Value, number>): Member[] {
  const makers = new Map(nodes.map((node, index) => [outputOf(node), index]));
  const readers = nodes.map((): { member: number; index: number }[] => []);
  const readings = nodes.map((node, member) =>
    imagesOf(node).map(({ value, index }) => {
      const maker = makers.get(value) ?? -1;
      readers[maker]?.push({ member, index });
      return { value, index, maker };
    }),
  );
  return nodes.map((node, member) => {
    const output = outputOf(node);
    const readBy = readers[member] as { member: number; index: number }[];
    const isInner = readBy.length === uses.get(output);
    const [height, rowBytes] = [heightOf(output), rowBytesOf(output)];
    const own = { height, rowBytes, rowWork: multiplyAddsOf(node) / height + (rowBytes / 4) * ELEMENT_WORK };
    return { node, output, ...own, isInner, readings: readings[member] as Reading[], readers: readBy };
  });
}

/** How far each member is when a band ends: results for others advance evenly, inner ones as far as they are needed. */
function goals(members: readonly Member[], done: readonly number[], part: number): number[] {
  const wanted = [...done];
  for (let i = members.length - 1; i >= 0; i--) {
    const { node, isInner, height, readings } = members[i] as Member;
    if (!isInner) wanted[i] = Math.max(wanted[i] as number, Math.ceil(height * part));
    const rows = { begin: done[i] as number, end: wanted[i] as number };
    if (rows.begin === rows.end) continue;
    for (const { maker, index } of readings)
      if (maker >= 0) wanted[maker] = Math.max(wanted[maker] as number, rowsNeeded(node, index, rows).end);
  }
  return wanted;
}

/** The first row of a member's result that is needed before its readers go on from where they are. */
function firstNeeded(
  members: readonly Member[],
  member: number,
  done: readonly number[],
  wanted: readonly number[],
): number {
  let first = done[member] as number;
  for (const reader of (members[member] as Member).readers) {
    const { node, height } = members[reader.member] as Member;
    const begin = done[reader.member] as number;
    const end = Math.max(wanted[reader.member] as number, Math.min(begin + 1, height));
    if (begin < end) first = Math.min(first, rowsNeeded(node, reader.index, { begin, end }).begin);
  }
  return first;
}

interface Band {
  readonly added: readonly Addition[];
  /** Of each member, the rows before this band's that it needs, and those which they are made of. */
  readonly before: () => readonly Rows[];
}

/** What each of so many bands adds, band by band. */
function* bandsOf(members: readonly Member[], bands: number): Generator<Band> {
  let done = members.map(() => 0);
  for (let band = 1; band <= bands; band++) {
    const wanted = goals(members, done, band / bands);
    const added: Addition[] = [];
    for (let member = 0; member < members.length; member++) {
      const rows = { begin: done[member] as number, end: wanted[member] as number };
      if (rows.begin < rows.end) added.push({ member, rows, kept: firstNeeded(members, member, done, wanted) });
    }
    const begun = done;
    yield { added, before: () => rowsBefore(members, begun, wanted) };
    done = wanted;
  }
}

function rowsBefore(members: readonly Member[], done: readonly number[], wanted: readonly number[]): Rows[] {
  const before: Rows[] = [];
  for (let member = members.length - 1; member >= 0; member--) {
    let begin = firstNeeded(members, member, done, wanted);
    for (const reader of (members[member] as Member).readers) {
      const rows = before[reader.member] as Rows;
      const { node } = members[reader.member] as Member;
      if (rows.begin < rows.end) begin = Math.min(begin, rowsNeeded(node, reader.index, rows).begin);
    }
    before[member] = { begin, end: done[member] as number };
  }
  return before;
}

interface Cost {
  /** Bytes of each line buffer. */
  readonly buffers: Map<Value, number>;
  /** Bytes that should stay in the cache from one operation to the next. */
  readonly bytes: number;
  /** Bytes that move up, and parts of nodes, of all bands that were looked at. */
  readonly moved: number;
  readonly parts: number;
}

/** Of all bands, or of the first ones. */
function costOf(members: readonly Member[], bands: number, looked = bands): Cost {
  const inner = members.filter(({ isInner }) => isInner);
  const buffers = new Map(inner.map(({ output, rowBytes }) => [output, rowBytes]));
  const shared = new Map<Value, number>();
  const note = (bytes: Map<Value, number>, value: Value, most: number): void => {
    bytes.set(value, Math.max(bytes.get(value) ?? 0, most));
  };
  let [moved, parts, seen] = [0, 0, 0];
  for (const { added } of bandsOf(members, bands)) {
    /** Rows of whole images that more than one member reads. */
    const read = new Map<Value, Rows>();
    for (const { member, rows, kept } of added) {
      const { node, output, isInner, rowBytes, readings } = members[member] as Member;
      parts++;
      if (isInner) {
        note(buffers, output, (rows.end - kept) * rowBytes);
        moved += (rows.begin - kept) * rowBytes;
      }
      for (const { value, index, maker } of readings) {
        if (members[maker]?.isInner) continue;
        const { begin, end } = rowsNeeded(node, index, rows);
        const before = read.get(value);
        if (before)
          note(shared, value, (Math.max(before.end, end) - Math.min(before.begin, begin)) * rowBytesOf(value));
        else read.set(value, { begin, end });
      }
    }
    if (++seen === looked) break;
  }
  const bytes = [...buffers.values(), ...shared.values()].reduce((sum, each) => sum + each, 0);
  return { buffers, bytes, moved, parts };
}

/** Bytes that need not go through memory when these are done together; 0 where that is little of all that they read and write. */
function savedBytes(members: readonly Member[]): number {
  let [saved, all] = [0, 0];
  for (const { isInner, output, readings } of members) {
    const bytes = bytesOf(output);
    if (isInner && bytes >= CACHED_BYTES) saved += 2 * bytes;
    all += readings.reduce((sum, { value }) => sum + bytesOf(value), bytes);
  }
  return saved < SAVED_MIN * all ? 0 : saved;
}

/** The least number of bands with which all stays in the cache, and what it costs, in bytes that could go through memory meanwhile. */
function fewestBands(members: readonly Member[]): { readonly bands: number; readonly cost: number } | undefined {
  const most = Math.min(...members.map(({ height }) => height));
  const next = (bands: number): number => Math.ceil((bands * BANDS_GROWTH) / BANDS_MULTIPLE) * BANDS_MULTIPLE;
  for (let bands = BANDS_MIN; bands <= most; bands = next(bands)) {
    const { bytes, moved, parts } = costOf(members, bands, BANDS_LOOKED_AT);
    if (bytes <= BAND_BYTES) return { bands, cost: (bands / BANDS_LOOKED_AT) * (2 * moved + parts * PART_BYTES) };
  }
  return undefined;
}

/** Whether the node goes on with what the others make or read, and takes nothing of theirs whole. */
function joins(node: Node, made: ReadonlySet<Value>, known: ReadonlySet<Value>): boolean {
  if (node.inputs.some((value, index) => value && made.has(value) && !readsRows(node, index))) return false;
  return imagesOf(node).some(({ value }) => known.has(value));
}

/** Nodes from `first` on that may be done together: two, three … of them. */
function* candidates(nodes: readonly Node[], first: number): Generator<readonly Node[]> {
  const made = new Set<Value>();
  const known = new Set<Value>();
  for (let end = first; end < Math.min(nodes.length, first + NODES_MAX); end++) {
    const node = nodes[end] as Node;
    if (!worksByRows(node) || (end > first && !joins(node, made, known))) return;
    made.add(outputOf(node));
    known.add(outputOf(node));
    for (const { value } of imagesOf(node)) known.add(value);
    if (end > first) yield nodes.slice(first, end + 1);
  }
}

interface Choice {
  readonly gain: number;
  /** How many nodes are done together; 1 for none. */
  readonly count: number;
  readonly bands: number;
}

/** The groups of a graph, in order; no node is in two of them. Of all ways to cut the nodes into groups it is the one that gains most. */
export function findGroups({ nodes, ...graph }: KernelGraph): BandGroup[] {
  const uses = countUses({ ...graph, nodes });
  /** best[i] is the best for nodes from i on. */
  const best: Choice[] = [];
  const gainFrom = (index: number): number => best[index]?.gain ?? 0;
  for (let first = nodes.length - 1; first >= 0; first--) {
    let choice: Choice = { gain: gainFrom(first + 1), count: 1, bands: 1 };
    for (const together of candidates(nodes, first)) {
      const members = membersOf(together, uses);
      const saved = savedBytes(members);
      const gain = saved + gainFrom(first + together.length);
      if (saved === 0 || gain <= choice.gain) continue;
      const found = fewestBands(members);
      if (found && gain - found.cost > choice.gain)
        choice = { gain: gain - found.cost, count: together.length, bands: found.bands };
    }
    best[first] = choice;
  }
  const groups: BandGroup[] = [];
  for (let first = 0; first < nodes.length; ) {
    const { count, bands } = best[first] as Choice;
    const last = first + count - 1;
    if (count > 1) {
      const members = membersOf(nodes.slice(first, last + 1), uses);
      const { buffers } = costOf(members, bands);
      groups.push({ first, last, bands, buffers, slices: slicesFor(members, bands, buffers) });
    }
    first = last + 1;
  }
  return groups;
}

/** Where line buffers begin: the row of the image that lies first in each. */
class LineBuffers {
  readonly #sizes: ReadonlyMap<Value, number>;
  readonly #bases = new Map<Value, number>();

  constructor(sizes: ReadonlyMap<Value, number>) {
    this.#sizes = sizes;
  }

  baseOf(value: Value): number {
    return this.#bases.get(value) ?? 0;
  }

  /** Makes room for rows behind those that are kept: whether these have to move. */
  makeRoom({ output, rowBytes }: Member, { rows, kept }: Addition): boolean {
    if ((rows.end - this.baseOf(output)) * rowBytes <= (this.#sizes.get(output) ?? Infinity)) return false;
    this.#bases.set(output, kept);
    return rows.begin > kept;
  }
}

/** The most slices whose leads can be computed and cost little; 1 where there are none. */
function slicesFor(members: readonly Member[], bands: number, buffers: ReadonlyMap<Value, number>): number {
  /** What the lead before each band costs; Infinity where there can be none. */
  const leads: number[] = [];
  const lines = new LineBuffers(buffers);
  for (const { added, before } of bandsOf(members, bands)) {
    const work = before().map(({ begin, end }, member) => {
      const { output, isInner, rowWork } = members[member] as Member;
      if (begin >= end) return 0;
      // Rows of whole results are made by the core that has the slice before; those that have left the buffer have no place in it.
      return isInner && begin >= lines.baseOf(output) ? (end - begin) * rowWork : Infinity;
    });
    leads.push(work.reduce((sum, each) => sum + each, 0));
    for (const addition of added) lines.makeRoom(members[addition.member] as Member, addition);
  }
  const whole = members.reduce((sum, { height, rowWork }) => sum + height * rowWork, 0);
  const costOfLeads = (slices: number): number => {
    const each = bands / slices;
    return leads.reduce((sum, lead, band) => (band > 0 && band % each === 0 ? sum + lead : sum), 0);
  };
  return SLICES.find((slices) => bands % slices === 0 && costOfLeads(slices) <= LEADS_MAX * whole) ?? 1;
}

/** All that a group does, in order. */
export function slicesOf(graph: KernelGraph, { first, last, bands, slices, buffers }: BandGroup): Slice[] {
  const members = membersOf(graph.nodes.slice(first, last + 1), countUses(graph));
  const lines = new LineBuffers(buffers);
  const partStep = (node: Node, rows: Rows): Step => {
    const part = partOf(node, rows);
    const images = [...part.images].map(
      ([value, { whole, row }]) => [value, { whole, row: row - lines.baseOf(whole) }] as const,
    );
    return { kind: 'part', node: part.node, images: new Map(images) };
  };
  const result: { lead: Step[]; steps: Step[] }[] = [];
  let band = 0;
  for (const { added, before } of bandsOf(members, bands)) {
    if (band % (bands / slices) === 0) {
      const leads = band === 0 ? [] : before();
      const lead = leads.flatMap((rows, member) =>
        rows.begin < rows.end ? [partStep((members[member] as Member).node, rows)] : [],
      );
      result.push({ lead, steps: [] });
    }
    band++;
    const { steps } = result.at(-1) as { steps: Step[] };
    for (const addition of added) {
      const { node, output } = members[addition.member] as Member;
      const { rows, kept } = addition;
      const base = lines.baseOf(output);
      if (lines.makeRoom(members[addition.member] as Member, addition))
        steps.push({ kind: 'move', value: output, from: kept - base, count: rows.begin - kept });
      steps.push(partStep(node, rows));
    }
  }
  return result;
}
