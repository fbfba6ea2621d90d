/** What nodes are to be told about units, gathered until what it follows from is committed, in messages that stay small. */
import type { Assignment, Content, TaskMessage, UnitFence } from '../../runtime/protocol/tasks.ts';

const MESSAGE = { units: 200, characters: 500_000 };
/** Outcomes of a node that may wait to be confirmed: it has room for 256 units, and these take some of it. */
const SETTLED_MAX = 64;

export interface Outgoing {
  readonly node: string;
  readonly content: Content<TaskMessage>;
}

export class Mail {
  readonly #nodes = new Map<string, { assigned: Assignment[]; withdrawn: UnitFence[] }>();
  /** By node: told with the next mail, or by the tick after the next. Nobody waits for it, and others wait for the broker. */
  readonly #settled = new Map<string, { units: UnitFence[]; isDue: boolean }>();

  assign(node: string, assignment: Assignment): void {
    this.#of(node).assigned.push(assignment);
  }

  withdraw(node: string, unit: UnitFence): void {
    this.#of(node).withdrawn.push(unit);
  }

  settle(node: string, unit: UnitFence): void {
    const settled = this.#settled.get(node) ?? { units: [], isDue: false };
    this.#settled.set(node, settled);
    settled.units.push(unit);
    if (settled.units.length >= SETTLED_MAX) this.hurry(node);
  }

  /** What the node is to be told does not wait. */
  hurry(node: string): void {
    this.#of(node);
  }

  tick(): void {
    for (const [node, settled] of this.#settled) {
      if (settled.isDue) this.hurry(node);
      settled.isDue = true;
    }
  }

  /** @param floorOf up to it everything at the node is settled */
  take(floorOf: (node: string) => number): Outgoing[] {
    const messages: Outgoing[] = [];
    for (const [node, { assigned, withdrawn }] of this.#nodes) {
      const settled = this.#settled.get(node)?.units ?? [];
      this.#settled.delete(node);
      const floor = floorOf(node);
      const add = (content: Content<TaskMessage>) => messages.push({ node, content });
      for (const units of inMessages(withdrawn)) add({ type: 'llmasos.tasks.withdrawn', data: { floor, units } });
      for (const units of inMessages(settled)) add({ type: 'llmasos.tasks.settled', data: { floor, units } });
      for (const units of inMessages(assigned)) add({ type: 'llmasos.tasks.assigned', data: { floor, units } });
    }
    this.#nodes.clear();
    return messages;
  }

  #of(node: string) {
    const mail = this.#nodes.get(node) ?? { assigned: [], withdrawn: [] };
    this.#nodes.set(node, mail);
    return mail;
  }
}

function* inMessages<T>(units: readonly T[]): Generator<T[]> {
  let message: T[] = [];
  let characters = 0;
  for (const unit of units) {
    const length = JSON.stringify(unit).length;
    if (message.length > 0 && (message.length >= MESSAGE.units || characters + length > MESSAGE.characters)) {
      yield message;
      message = [];
      characters = 0;
    }
    message.push(unit);
    characters += length;
  }
  if (message.length > 0) yield message;
}

export function fenceOf({ unit, fence }: UnitFence): UnitFence {
  return { unit, fence };
}
