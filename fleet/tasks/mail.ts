/** Units in messages that stay small. */
import type { UnitFence } from '../../runtime/protocol/tasks.ts';

const MESSAGE = { units: 200, characters: 500_000 };

export function* inMessages<T>(units: readonly T[]): Generator<T[]> {
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
