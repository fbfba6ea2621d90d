/**
 * ControllerService of one of several controllers on one database: it answers by itself what can be read, takes and gives files,
 * watches and infers, gives units of the tasks that it took to nodes, and passes on what belongs to another controller, or to the one that leads.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { ControllerClient, UnreachableError } from '../api/client.ts';
import type { TaskView } from '../tasks/view.ts';
import type { Leader } from './leadership-io.ts';
import type { ControllerService } from './service.ts';

/** Between two looks whether who was asked still leads. */
const LOOK_MS = 1_000;

export interface SharedPorts {
  readonly own: ControllerService;
  /** Whether this controller leads. */
  leads(): boolean;
  /** Undefined while nobody does. */
  leader(): Promise<Leader | undefined>;
  /** Where another controller is that has an active task. */
  placeOf(task: string): Promise<string | undefined>;
}

export function sharedService(ports: SharedPorts): ControllerService {
  const { own } = ports;
  const ask = <T>(work: (leader: ControllerService) => Promise<T>): Promise<T> => askLeader(ports, work);
  return {
    nodes: () => own.nodes(),
    models: () => own.models(),
    modelVersions: (name) => own.modelVersions(name),
    addModel: (...model) => ask((leader) => leader.addModel(...model)),
    removeModel: (name) => ask((leader) => leader.removeModel(name)),
    triggers: () => own.triggers(),
    putTrigger: (trigger, selector) => ask((leader) => leader.putTrigger(trigger, selector)),
    removeTrigger: (name) => ask((leader) => leader.removeTrigger(name)),
    putBlob: (sha256, content) => own.putBlob(sha256, content),
    infer: (node, request, timeoutMs) => own.infer(node, request, timeoutMs),
    placement: () => own.placement(),
    watch: (filter, onResult, signal) => own.watch(filter, onResult, signal),
    tasks: {
      // Who takes a task gives its units away. What a version is brought by changes what nodes are to have, too.
      add: (spec) => (spec.work.kind === 'update' ? ask(({ tasks }) => tasks.add(spec)) : own.tasks.add(spec)),
      list: (state) => own.tasks.list(state),
      show: (id, withResults) => own.tasks.show(id, withResults),
      cancel: (id) => cancelTask(ports, id),
    },
    schedules: {
      put: (spec) => ask(({ schedules }) => schedules.put(spec)),
      list: () => ask(({ schedules }) => schedules.list()),
      remove: (name) => ask(({ schedules }) => schedules.remove(name)),
    },
    rollouts: {
      start: (spec) => ask(({ rollouts }) => rollouts.start(spec)),
      list: () => own.rollouts.list(),
      show: (id) => own.rollouts.show(id),
      pause: (id) => ask(({ rollouts }) => rollouts.pause(id)),
      resume: (id) => ask(({ rollouts }) => rollouts.resume(id)),
      abort: (id) => ask(({ rollouts }) => rollouts.abort(id)),
    },
    settings: {
      put: (settings) => ask((leader) => leader.settings.put(settings)),
      list: () => own.settings.list(),
      remove: (name) => ask(({ settings }) => settings.remove(name)),
      explain: (node) => own.settings.explain(node),
    },
    software: {
      add: (manifest) => ask(({ software }) => software.add(manifest)),
      list: () => own.software.list(),
      remove: (version) => ask(({ software }) => software.remove(version)),
    },
  };
}

async function cancelTask({ own, placeOf }: SharedPorts, id: string): Promise<TaskView> {
  const place = await placeOf(id);
  if (place === undefined) return own.tasks.cancel(id);
  try {
    return await new ControllerClient(place).tasks.cancel(id);
  } catch (cause) {
    if (!(cause instanceof UnreachableError)) throw cause;
    const hope = 'where that is gone another has it within 10 s: try again then';
    throw new Error(`task "${id}": the controller that has it, at ${place}, does not answer; ${hope}`, { cause });
  }
}

/** Who leads is read each time, and a leader passes nothing on: so nothing goes in a circle. */
async function askLeader<T>(ports: SharedPorts, work: (leader: ControllerService) => Promise<T>): Promise<T> {
  if (ports.leads()) return work(ports.own);
  const leader = await ports.leader();
  if (!leader) throw new Error('no controller leads this fleet at the moment; one does within 10 s: try again then');
  const name = `the controller that leads (${leader.holder}, at ${leader.url})`;
  const answered = new AbortController();
  try {
    return await Promise.race([work(new ControllerClient(leader.url)), replaced(ports, leader, name, answered.signal)]);
  } catch (cause) {
    if (!(cause instanceof UnreachableError)) throw cause;
    const hope = 'where it is gone another takes over within 10 s: try again then';
    throw new Error(`${name} does not answer; ${hope}`, { cause });
  } finally {
    answered.abort();
  }
}

/** Rejects when another controller leads: one that is frozen would keep those who ask for as long as they have patience. */
async function replaced(ports: SharedPorts, leader: Leader, name: string, answered: AbortSignal): Promise<never> {
  for (;;) {
    await pause(LOOK_MS, undefined, { signal: answered });
    const now = await ports.leader().catch(() => leader);
    if (now && now.holder !== leader.holder)
      throw new Error(`${name} was replaced before it answered; look whether that was done, and ask again`);
  }
}
