/** What goes on while processes are killed: a sensor that publishes all the time, and a person who changes the registry. */
import { connectAsync } from 'mqtt';
import { floats, writeModel } from '../../bench/write-model.ts';
import type { ControllerService } from '../../fleet/controller/service.ts';
import { triggerSchema } from '../../runtime/triggers/schema.ts';
import { largestTrigger, scaleModel } from '../devices/gateway/bench.ts';
import { chunks, hashOf } from '../fleet/fleet-parts.ts';

/** Messages come in bursts, as from devices with one clock: so that nodes have a queue, and kills find answers half done. */
const BURST = { messages: 25, everyMs: 500 };
const CHANGE_MS = 150;
const TRIGGER_NAMES = 12;
const MODEL_NAMES = 4;

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

export interface Sensor {
  readonly sent: number;
  /** Messages that the broker confirmed. */
  readonly confirmed: number;
  readonly repeated: number;
  readonly wrong: readonly string[];
  /** Ids that have no answer yet. */
  unanswered(): number[];
  /** Sends everything once more that has no answer. */
  repeat(): void;
  finish(): void;
  close(): Promise<void>;
}

/**
 * y = 2 · x for three floats, after a third of a billion multiplications whose result is zero: slow enough that messages
 * wait, and with an answer that is known by heart.
 */
export function slowModel(): Uint8Array {
  const [rows, width, layers] = [64, 512, 20];
  const value = (name: string) => ({ name, type: 1, dims: [1, 3] });
  const zeros = (name: string, dims: [number, number]) => floats(name, dims, new Float32Array(dims[0] * dims[1]));
  const product = (left: string, right: string, output: string) => ({
    ...{ operator: 'MatMul', inputs: [left, right], outputs: [output] },
  });
  return writeModel({
    graph: {
      ...{ inputs: [value('x')], outputs: [value('y')] },
      initializers: [
        floats('two', [1], Float32Array.of(2)),
        ...[zeros('column', [rows, 1]), zeros('row', [1, rows])],
        ...[zeros('widen', [3, width]), zeros('layer', [width, width]), zeros('narrow', [width, 3])],
      ],
      nodes: [
        product('column', 'x', 'tall'),
        product('tall', 'widen', 'h0'),
        ...Array.from({ length: layers }, (_, index) => product(`h${index}`, 'layer', `h${index + 1}`)),
        product(`h${layers}`, 'narrow', 'thin'),
        product('row', 'thin', 'nothing'),
        { operator: 'Mul', inputs: ['x', 'two'], outputs: ['twice'] },
        { operator: 'Add', inputs: ['twice', 'nothing'], outputs: ['y'] },
      ],
    },
  });
}

/** Publishes `{ id, v: [1, 2, id] }` at QoS 1 on the topics in turn; the answer to it is twice the largest. */
export async function startSensor(url: string, topics: readonly string[]): Promise<Sensor> {
  const client = await connectAsync(url, {
    protocolVersion: 4,
    clientId: 'sensor',
    clean: false,
    reconnectPeriod: 100,
  });
  const unanswered = new Set<number>();
  const wrong: string[] = [];
  let [sent, confirmed, repeated] = [0, 0, 0];
  client.on('error', () => {}); // it connects again by itself
  client.on('message', (_, payload) => {
    const { id, score } = JSON.parse(payload.toString());
    if (score !== 2 * Math.max(2, id)) wrong.push(payload.toString());
    unanswered.delete(id);
  });
  await client.subscribeAsync('answers/#', { qos: 1 });
  const publish = (id: number): void => {
    unanswered.add(id);
    const topic = topics[id % topics.length] as string;
    client.publish(topic, JSON.stringify({ id, v: [1, 2, id] }), { qos: 1 }, (error) => {
      if (!error) confirmed++;
    });
  };
  const sending = setInterval(() => {
    for (let count = 0; count < BURST.messages; count++) publish(sent++);
  }, BURST.everyMs);
  return {
    get sent() {
      return sent;
    },
    get confirmed() {
      return confirmed;
    },
    get repeated() {
      return repeated;
    },
    wrong,
    unanswered: () => [...unanswered],
    repeat() {
      for (const id of unanswered) publish(id);
      repeated += unanswered.size;
    },
    finish: () => clearInterval(sending),
    async close() {
      clearInterval(sending);
      await client.endAsync(true);
    },
  };
}

/**
 * What a name may stand for after the changes so far. An acknowledged change leaves one possibility; one that broke off may
 * or may not have happened, until the next that is acknowledged.
 */
type Possible = Map<string, Set<string>>;

const NOTHING = 'nothing';

export interface Person {
  readonly acknowledged: { models: number; triggers: number; removals: number };
  readonly brokenOff: number;
  /** Refusals that no dead process explains. */
  readonly refused: readonly string[];
  /** Ends the changes, compares, and gives one sentence for everything acknowledged that is not there. */
  losses(): Promise<string[]>;
}

/** Adds model versions, puts triggers and removes triggers, one after the other, and notes what was acknowledged. */
export function startPerson(controller: ControllerService, ready: { model: string }): Person {
  const triggers: Possible = new Map();
  const models: Possible = new Map();
  const versions = new Map<string, string>();
  const acknowledged = { models: 0, triggers: 0, removals: 0 };
  const refused: string[] = [];
  let brokenOff = 0;
  let finished = false;

  const attempt = async (
    what: Possible,
    name: string,
    state: string,
    act: () => Promise<unknown>,
  ): Promise<boolean> => {
    const before = what.get(name) ?? new Set([NOTHING]);
    what.set(name, new Set([...before, state]));
    try {
      await act();
      what.set(name, new Set([state]));
      return true;
    } catch (error) {
      const { message } = error as Error;
      // "there is no …": the removal before this one broke off after it was done.
      if (!/no controller at|broke off|is starting|there is no/.test(message)) refused.push(message);
      brokenOff++;
      return false;
    }
  };
  const addModel = async (turn: number): Promise<void> => {
    const bytes = scaleModel(turn + 2);
    const name = `extra-${turn % MODEL_NAMES}`;
    const act = async () => {
      await controller.putBlob(hashOf(bytes), chunks(bytes));
      await controller.addModel(name, hashOf(bytes));
    };
    if (!(await attempt(models, name, hashOf(bytes), act))) return;
    versions.set(hashOf(bytes), name);
    acknowledged.models++;
  };
  const putTrigger = async (turn: number): Promise<void> => {
    const name = `extra-${turn % TRIGGER_NAMES}`;
    // A model whose acknowledgement we have: the trigger must never be refused for it.
    const model = [...versions.values()].at(turn % MODEL_NAMES) ?? ready.model;
    const description = `change ${turn}`;
    const changes = { description, topic: `extra/{device}/${turn}`, output: { topic: 'extra/{device}/out' } };
    const trigger = triggerSchema.parse({ ...largestTrigger(name, model), ...changes });
    if (await attempt(triggers, name, description, () => controller.putTrigger(trigger, {}))) acknowledged.triggers++;
  };
  const removeTrigger = async (turn: number): Promise<void> => {
    const name = [...triggers.keys()].at(turn % TRIGGER_NAMES);
    if (name === undefined || triggers.get(name)?.has(NOTHING)) return;
    if (await attempt(triggers, name, NOTHING, () => controller.removeTrigger(name))) acknowledged.removals++;
  };
  const work = async (): Promise<void> => {
    for (let turn = 0; !finished; turn++) {
      if (turn % 3 === 0) await addModel(turn);
      else if (turn % 11 === 10) await removeTrigger(turn);
      else await putTrigger(turn);
      await pause(CHANGE_MS);
    }
  };
  const working = work();
  return {
    acknowledged,
    refused,
    get brokenOff() {
      return brokenOff;
    },
    async losses() {
      finished = true;
      await working;
      const lost: string[] = [];
      const there = new Map((await controller.triggers()).map(({ trigger }) => [trigger.name, trigger.description]));
      for (const [name, states] of triggers) {
        const now = there.get(name) ?? NOTHING;
        if (!states.has(now)) lost.push(`trigger ${name}: expected ${[...states].join(' or ')}, found ${now}`);
      }
      const newest = new Map((await controller.models()).map(({ name, sha256 }) => [name, sha256]));
      for (const [name, states] of models) {
        const now = newest.get(name) ?? NOTHING;
        if (!states.has(now)) lost.push(`model ${name}: expected ${[...states].join(' or ')} as newest, found ${now}`);
      }
      for (const name of new Set(versions.values())) {
        const kept = new Set((await controller.modelVersions(name)).map(({ sha256 }) => sha256));
        for (const [sha256, owner] of versions)
          if (owner === name && !kept.has(sha256)) lost.push(`model ${name}: version with content ${sha256} is gone`);
      }
      return lost;
    },
  };
}
