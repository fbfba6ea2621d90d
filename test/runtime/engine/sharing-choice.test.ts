/** One core or several, by what runs take. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { SharingChoice } from '../../../runtime/engine/sharing-choice.ts';

/** Plays runs that take so long, alone and shared by number; how many of the last hundred were shared. */
function sharedOf(choice: SharingChoice, runs: number, aloneMs: number, sharedMs: (run: number) => number): number {
  let shared = 0;
  for (let run = 0; run < runs; run++) {
    const isShared = choice.isWanted;
    choice.note(isShared, isShared ? sharedMs(run) : aloneMs);
    if (isShared && run >= runs - 100) shared++;
  }
  return shared;
}

test('two cores are kept where they are faster, though their first runs were slow', () => {
  assert.ok(sharedOf(new SharingChoice(), 200, 8, (run) => (run < 6 ? 20 : 5)) >= 90);
});

test('where another process takes the second core, runs stay on one, and go back when it is free again', () => {
  const choice = new SharingChoice();
  assert.ok(sharedOf(choice, 200, 8, () => 9) <= 10);
  assert.ok(sharedOf(choice, 300, 8, () => 5) >= 90);
  assert.ok(sharedOf(choice, 300, 8, () => 9) <= 10);
});

test('short runs are left to one core', () => {
  assert.is(
    sharedOf(new SharingChoice(), 200, 0.2, () => 0.1),
    0,
  );
});

test.run();
