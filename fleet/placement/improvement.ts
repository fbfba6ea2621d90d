/**
 * Makes a placement cheaper step by step: an item that pays more than its cheapest class would cost, or is left out,
 * takes the place of others that lose less; these go elsewhere. A step that does not pay is undone (ejection chains:
 * Glover 1996; for assignment problems, Yagiura, Ibaraki and Glover 2004).
 */
import type { ItemRow } from './instance.ts';
import { priceItem } from './prices.ts';
import { type Choice, LEFT_OUT_WEIGHT, type Search } from './search.ts';

/** Classes that an item tries to get into, and nodes of each that it looks at. */
const CLASSES_TRIED = 6;
const NODES_LOOKED_AT = 24;
const ROUNDS_MAX = 5;
/** After so many steps in a row that do not pay, those with less to gain hardly will. */
const FAILURES_MAX = 60;
/** A round that gains less than this share of the cost is the last. */
const GAIN_MIN = 2e-4;

interface Candidate {
  readonly item: number;
  /** Where it pays too much; none for units that are left out. */
  readonly node?: number;
  readonly gain: number;
}

/** @param trialsMax steps to try in each round */
export function improve(search: Search, trialsMax: number): void {
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const before = search.assignment.cost;
    new Round(search).run(trialsMax);
    if (before - search.assignment.cost < before * GAIN_MIN) return;
  }
}

/** Makes room for items of which units are left out, where others lose less: what an event calls for. */
export function improveItems(search: Search, items: Iterable<number>): void {
  const round = new Round(search);
  for (const item of items) if (search.missing(item) > 0) round.try(item);
}

class Round {
  readonly #search: Search;
  readonly #choices = new Map<number, Choice>();
  /** Where to begin looking in a class, so that it is not always the same nodes. */
  #turn = 0;

  constructor(search: Search) {
    this.#search = search;
  }

  #choice(item: number): Choice {
    let choice = this.#choices.get(item);
    if (!choice) {
      choice = this.#search.choiceOf(item);
      this.#choices.set(item, choice);
    }
    return choice;
  }

  run(trialsMax: number): void {
    const candidates = this.#candidates();
    candidates.sort((a, b) => b.gain - a.gain);
    let failures = 0;
    for (const { item, node } of candidates.slice(0, trialsMax)) {
      failures = this.try(item, node) ? 0 : failures + 1;
      if (failures >= FAILURES_MAX) return;
    }
  }

  #candidates(): Candidate[] {
    const { instance, assignment, prices, through } = this.#search;
    const priced = new Float64Array(instance.classes.length);
    const found: Candidate[] = [];
    for (let item = 0; item < instance.items.length; item++) {
      const { best } = this.#choice(item);
      const { worth } = instance.rows[item] as ItemRow;
      const missing = this.#search.missing(item);
      if (missing > 0 && best < worth) found.push({ item, gain: missing * (worth - best) });
      if (assignment.nodesOf[item]?.size === 0) continue;
      priceItem(instance, prices, through, item, priced);
      for (const [node, units] of assignment.nodesOf[item] as Map<number, number>) {
        const gain = units * ((priced[instance.classOf[node] as number] as number) - best);
        if (gain > best * 1e-6) found.push({ item, node, gain });
      }
    }
    return found;
  }

  try(item: number, node?: number): boolean {
    const search = this.#search;
    const { assignment } = search;
    const before = assignment.cost;
    const withdrawn = new Set<number>();
    assignment.begin();
    const units = node === undefined ? 0 : (assignment.nodesOf[item]?.get(node) ?? 0);
    // It may have been moved in favour of another one meanwhile.
    if (node !== undefined && units > 0) search.withdraw(item, node, units, withdrawn);
    withdrawn.delete(item);
    let left = search.missing(item);
    for (const c of search.classesFor(item).slice(0, CLASSES_TRIED)) {
      if (left === 0) break;
      left = search.fill(item, c, left);
      if (left > 0) left -= this.#displace(item, c, left, withdrawn);
    }
    if (left > 0) search.place(item);
    for (const other of withdrawn) search.place(other);
    const pays = assignment.cost < before * (1 - 1e-12) - 1e-12;
    if (pays) assignment.keep();
    else assignment.undo();
    return pays;
  }

  /** Makes room on the node of a class where the others lose least. Returns how many units were placed there. */
  #displace(item: number, c: number, left: number, withdrawn: Set<number>): number {
    const { members, assignment, instance } = this.#search;
    const nodes = members[c] as number[];
    const row = instance.rows[item] as ItemRow;
    const { best } = this.#choice(item);
    const gain = (row.worth - best) / (row.load[c] as number);
    let placed = 0;
    const looks = Math.min(nodes.length, NODES_LOOKED_AT);
    for (let look = 0; look < looks && placed < left; look++) {
      const node = nodes[(this.#turn + look) % nodes.length] as number;
      const most = (row.unitsMax[c] as number) - (assignment.itemsOn[node]?.get(item) ?? 0);
      const wanted = Math.min(left - placed, most);
      if (wanted > 0) placed += this.#makeRoom(item, node, wanted, gain, withdrawn);
    }
    this.#turn += looks;
    return placed;
  }

  #makeRoom(item: number, node: number, wanted: number, gain: number, withdrawn: Set<number>): number {
    const search = this.#search;
    const { assignment, instance } = search;
    const row = instance.rows[item] as ItemRow;
    const c = instance.classOf[node] as number;
    for (const { other, loss } of this.#victims(item, node)) {
      if (loss >= gain) break;
      const present = assignment.itemsOn[node]?.get(other) ?? 0;
      if (present === 0) continue;
      const theirs = instance.rows[other]?.load[c] as number;
      const needed = wanted * (row.load[c] as number) - assignment.room(node, row.tier);
      // What is in the way by its memory or by being there at all goes as a whole.
      const whole = needed <= 0 || instance.apart[item]?.has(other);
      search.withdraw(other, node, whole ? present : Math.min(present, Math.ceil(needed / theirs - 1e-9)), withdrawn);
      if (assignment.fit(item, node) >= wanted) break;
    }
    const units = Math.min(wanted, assignment.fit(item, node));
    if (units > 0) assignment.add(item, node, units);
    return units;
  }

  /** What else is on the node, by what it loses per load when it has to go: least first. */
  #victims(item: number, node: number): { other: number; loss: number }[] {
    const { assignment, instance, prices, through } = this.#search;
    const c = instance.classOf[node] as number;
    const among = Int32Array.of(c);
    const priced = new Float64Array(1);
    const victims: { other: number; loss: number }[] = [];
    for (const other of (assignment.itemsOn[node] as Map<number, number>).keys()) {
      if (other === item || instance.leaders[item]?.has(other)) continue;
      priceItem(instance, prices, through, other, priced, among);
      const { best, bestClass, second } = this.#choice(other);
      const elsewhere = c === bestClass ? second : best;
      const { load, worth } = instance.rows[other] as ItemRow;
      const loss = elsewhere - (priced[0] as number) + LEFT_OUT_WEIGHT * (worth - (priced[0] as number));
      victims.push({ other, loss: loss / (load[c] as number) });
    }
    return victims.sort((a, b) => a.loss - b.loss);
  }
}
