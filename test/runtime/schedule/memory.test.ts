/** Models that come and go, as an engine tells of them that learns what they need only by loading them. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Decision, RunRequest, SchedulerEvent } from '../../../runtime/schedule/events.ts';
import { Scheduler } from '../../../runtime/schedule/scheduler.ts';

/** A node of one core with room for 100 bytes; what it decides, in short. */
function setup() {
  const tenants = [{ name: 't', weight: 1, runsMax: 100 }];
  const spec = { cores: 1, memoryBytes: 100, instructionUs: 0, tenants, models: [] };
  const scheduler = new Scheduler(spec, 0);
  let nowUs = 0;
  const tell = (event: SchedulerEvent): string[] => scheduler.step(event, ++nowUs).map(inShort);
  const know = (...names: string[]): void => {
    for (const name of names)
      tell({ kind: 'model-known', model: { name, bytes: 0, pinned: name.startsWith('pinned') } });
  };
  let id = 0;
  const submit = (model: string, more: Partial<RunRequest> = {}): string[] =>
    tell({ kind: 'submit', request: { id: ++id, model, tenant: 't', priority: 'normal', workUs: 10, ...more } });
  const enter = (model: string, more: Partial<RunRequest> = {}) => submit(model, { part: 'entry', ...more });
  return { scheduler, tell, know, submit, enter };
}

function inShort(decision: Decision): string {
  switch (decision.kind) {
    case 'start':
      return `start ${decision.runs}`;
    case 'refuse':
      return `refuse ${decision.run}: ${decision.reason}`;
    case 'end':
      return `${decision.run} ${decision.outcome}${decision.reason === undefined ? '' : `: ${decision.reason}`}`;
    case 'load':
    case 'unload':
      return `${decision.kind} ${decision.model}`;
    default:
      return decision.kind;
  }
}

test('a model is loaded for an entry, which holds it; idle ones make room when its size is known', () => {
  const { tell, know, submit, enter } = setup();
  know('a', 'b');
  assert.equal(enter('a'), ['load a']);
  assert.equal(tell({ kind: 'loaded', model: 'a', bytes: 60 }), ['1 done']);
  assert.equal(submit('a'), ['start 2']);
  assert.equal(tell({ kind: 'let-go', model: 'a' }), []);
  assert.equal(enter('b'), ['load b']);
  // It takes more than there is: a makes room, but not before its run is over.
  assert.equal(tell({ kind: 'short', model: 'b', bytes: 70 }), []);
  assert.equal(tell({ kind: 'stopped', core: 0, outcome: 'done' }), ['2 done', 'unload a']);
  assert.equal(tell({ kind: 'unloaded', model: 'a' }), ['load b']);
  assert.equal(tell({ kind: 'loaded', model: 'b', bytes: 70 }), ['3 done']);
  assert.equal(enter('a'), [], 'what is held stays');
  assert.equal(tell({ kind: 'let-go', model: 'b' }), ['unload b']);
});

test('a run whose model leaves before it has begun keeps its turn as an entry', () => {
  const { tell, know, submit, enter } = setup();
  know('a', 'b');
  enter('a');
  tell({ kind: 'loaded', model: 'a', bytes: 60 });
  assert.equal(submit('a'), ['start 2']);
  submit('a');
  tell({ kind: 'let-go', model: 'a' });
  enter('b', { priority: 'interactive' });
  tell({ kind: 'short', model: 'b', bytes: 70 });
  assert.equal(tell({ kind: 'stopped', core: 0, outcome: 'done' }), ['2 done', 'unload a']);
  assert.equal(tell({ kind: 'displaced', run: 3 }), []);
  assert.equal(tell({ kind: 'unloaded', model: 'a' }), ['load b']);
  assert.equal(tell({ kind: 'loaded', model: 'b', bytes: 70 }), ['4 done']);
  assert.equal(tell({ kind: 'let-go', model: 'b' }), ['unload b']);
  assert.equal(tell({ kind: 'unloaded', model: 'b' }), ['load a']);
  assert.equal(tell({ kind: 'loaded', model: 'a' }), ['3 done']);
});

test('a step of what holds a model starts although the model is to leave', () => {
  const { tell, know, submit, enter } = setup();
  know('a', 'b');
  enter('a');
  tell({ kind: 'loaded', model: 'a', bytes: 60 });
  enter('b', { priority: 'interactive' });
  tell({ kind: 'short', model: 'b', bytes: 70 });
  assert.equal(submit('a'), [], 'it waits: the model drains');
  assert.equal(submit('a', { part: 'step' }), ['start 4']);
  assert.equal(tell({ kind: 'stopped', core: 0, outcome: 'done' }), ['4 done']);
  assert.equal(tell({ kind: 'let-go', model: 'a' }), ['unload a']);
});

test('a loaded model that is short waits until others have made room', () => {
  const { tell, know, submit, enter } = setup();
  know('a', 'b');
  for (const model of ['a', 'b']) {
    enter(model);
    tell({ kind: 'loaded', model, bytes: 40 });
    tell({ kind: 'let-go', model });
  }
  tell({ kind: 'short', model: 'a', bytes: 80 });
  assert.equal(enter('a'), ['unload b']);
  assert.equal(tell({ kind: 'unloaded', model: 'b' }), ['3 done']);
  assert.equal(submit('a'), ['start 4']);
});

test('a model that was short when it made room for another one is loaded again for the runs that wait', () => {
  const { tell, know, enter } = setup();
  know('a', 'b', 'c');
  for (const model of ['a', 'b']) {
    enter(model);
    tell({ kind: 'loaded', model, bytes: 40 });
    tell({ kind: 'let-go', model });
  }
  tell({ kind: 'hold', model: 'b' });
  tell({ kind: 'short', model: 'a', bytes: 70 });
  assert.equal(enter('a'), [], 'b is held');
  assert.equal(enter('c', { priority: 'interactive' }), ['unload a']);
  assert.equal(tell({ kind: 'let-go', model: 'b' }), []);
  assert.equal(tell({ kind: 'model-removed', model: 'b' }), ['load c']);
  assert.equal(tell({ kind: 'unloaded', model: 'a' }), ['load a']);
  assert.equal(tell({ kind: 'loaded', model: 'a', bytes: 70 }), ['3 done']);
});

test('of two models that are both short of room the one whose run is more urgent gets it, also where safety runs wait for both', () => {
  const { tell, know, enter } = setup();
  know('a', 'b');
  for (const model of ['a', 'b']) {
    enter(model);
    tell({ kind: 'loaded', model, bytes: 50 });
  }
  for (const model of ['a', 'b']) assert.equal(tell({ kind: 'short', model, bytes: 60 }), []);
  for (const model of ['a', 'b']) assert.equal(enter(model, { priority: 'safety' }), []);
  assert.equal(tell({ kind: 'let-go', model: 'a' }), []);
  assert.equal(tell({ kind: 'let-go', model: 'b' }), ['unload b']);
  assert.equal(tell({ kind: 'unloaded', model: 'b' }), ['3 done']);
  assert.equal(tell({ kind: 'let-go', model: 'a' }), ['unload a']);
  assert.equal(tell({ kind: 'unloaded', model: 'a' }), ['load b']);
});

test('what can never fit beside the pinned models is refused with the figures, also what waits when that shows', () => {
  const { tell, know, enter } = setup();
  know('a', 'pinned');
  enter('a');
  tell({ kind: 'loaded', model: 'a', bytes: 60 });
  tell({ kind: 'let-go', model: 'a' });
  assert.equal(enter('pinned'), ['load pinned']);
  tell({ kind: 'short', model: 'pinned', bytes: 50 });
  assert.equal(tell({ kind: 'unloaded', model: 'a' }), ['load pinned']);
  const refused =
    'model "a" needs 60 bytes, expected at most 50, the memory budget less pinned models; use a smaller model or unpin others';
  assert.equal(enter('a'), [`refuse 3: ${refused}`]);
  tell({ kind: 'loaded', model: 'pinned', bytes: 30 });
  tell({ kind: 'let-go', model: 'pinned' });
  assert.equal(enter('a'), ['load a']);
  assert.equal(tell({ kind: 'short', model: 'a', bytes: 75 }), [
    '4 failed: model "a" needs 75 bytes, expected at most 70, the memory budget less pinned models; use a smaller model or unpin others',
  ]);
});

test('a safety run with a deadline does not wait for a load, one without does', () => {
  const { know, enter } = setup();
  know('a');
  const [refusal] = enter('a', { priority: 'safety', deadlineUs: 1e6 });
  assert.match(refusal as string, /^refuse 1: model "a" is not in memory.*pin the model/);
  assert.equal(enter('a', { priority: 'safety' }), ['load a']);
});

test.run();
