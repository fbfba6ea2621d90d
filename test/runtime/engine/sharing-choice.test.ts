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

test('a first run of one core that met compilation is not what sharing is measured by', () => {
  const choice = new SharingChoice();
  let shared = 0;
  for (let run = 0; run < 40; run++) {
    const isShared = choice.isWanted;
    if (isShared) shared++;
    choice.note(isShared, isShared ? 22 : Math.max(17, 60 - 5 * run));
  }
  assert.ok(shared <= 20);
  assert.not(choice.isWanted);
});

test('when another process comes, runs are alone again within a dozen, however long they were shared before', () => {
  const choice = new SharingChoice();
  sharedOf(choice, 1000, 8, () => 5);
  assert.ok(choice.isWanted);
  for (let run = 0; run < 12; run++) choice.note(choice.isWanted, choice.isWanted ? 12 : 8);
  assert.not(choice.isWanted);
});

test('runs that meet something now and then, with one core as with several, do not change the choice', () => {
  const choice = new SharingChoice();
  const slow = (run: number): number => (run % 5 === 2 ? 30 : 0);
  let shared = 0;
  for (let run = 0; run < 1000; run++) {
    const isShared = choice.isWanted;
    if (isShared) shared++;
    choice.note(isShared, (isShared ? 9 : 8) + slow(run));
  }
  assert.ok(shared < 60, `${shared} of 1000 shared`);
});

test('short runs are left to one core', () => {
  assert.is(
    sharedOf(new SharingChoice(), 200, 0.2, () => 0.1),
    0,
  );
});

test.run();
