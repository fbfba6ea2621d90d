/**
 * The workload shape of Cotter, Castiñeiras, O'Shea and Cionca, "Preemption Aware Task Scheduling for Priority and
 * Deadline Constrained DNN Inference Task Offloading in Homogeneous Mobile-Edge Networks" (arXiv 2504.16792): four equal
 * nodes of four cores see 1,296 frames. Each frame is looked at on its own node first (high priority); what that finds, up
 * to four classifications of low priority, must be done before the next frame, on two or more cores, here or on another node.
 *
 * Theirs is a real network of Raspberry Pi 2; this is a simulation. Their times and traces were not at hand, so that ours are
 * chosen: a frame every 19 s, 1 s for the first look, 17 s on two cores (9 s on four) for a classification. The network
 * costs a fixed time a picture and is never full. A run that is set aside here is resumed and not moved; a frame of which one
 * classification finds no place is given up ("skip the frame"), so that the others get the time.
 */
import type { SchedulerSpec } from '../../../../runtime/schedule/events.ts';
import { Random } from '../../../random.ts';
import { World } from './world.ts';

const NODES = 4;
const FRAMES = 1296;
const SECOND = 1_000_000;
const PERIOD_US = 19 * SECOND;
const HIGH = { workUs: SECOND, deadlineUs: 2 * SECOND };
/** On one core; two are worth 1.8, four 3.4: world.ts. */
const LOW = { workUs: 30.6 * SECOND, deadlineUs: PERIOD_US, cores: 4, transferUs: 0.5 * SECOND };
const TASKS_MAX = 4;
/** Chance that a frame has the number of classifications which names the trace; the others share the rest. */
const WEIGHT = 0.6;

const SPEC: SchedulerSpec = {
  cores: 4,
  memoryBytes: 10,
  instructionUs: 250,
  tenants: [{ name: 'all', weight: 1, runsMax: 1000 }],
  models: ['high', 'low'].map((name) => ({ name, bytes: 1, pinned: true })),
};

export interface PublishedFigures {
  readonly trace: string;
  readonly preemptive: boolean;
  /** Shares of those that there were. */
  readonly high: number;
  readonly low: number;
  readonly frames: number;
}

interface Frame {
  readonly node: number;
  readonly atUs: number;
  readonly tasks: number;
  /** What is still to be done of it; below 0: lost. */
  left: number;
}

export const traces = ['uniform', 'weighted 1', 'weighted 2', 'weighted 3', 'weighted 4'] as const;

function drawTasks(random: Random, trace: string): number {
  const favourite = Number(trace.split(' ')[1] ?? 0);
  if (favourite > 0 && random.next() < WEIGHT) return favourite;
  return 1 + random.below(TASKS_MAX);
}

export function playPublished(trace: string, preemptive: boolean, seed: number): PublishedFigures {
  const random = new Random(seed);
  const offsets = Array.from({ length: NODES }, () => random.next() * PERIOD_US);
  const frames: Frame[] = Array.from({ length: FRAMES }, (_, i) => {
    const node = i % NODES;
    const atUs = SECOND + (offsets[node] as number) + Math.floor(i / NODES) * PERIOD_US;
    const tasks = drawTasks(random, trace);
    return { node, atUs, tasks, left: tasks + 1 };
  }).sort((a, b) => a.atUs - b.atUs);
  const owners = new Map<number, Frame>();
  const done = { high: 0, low: 0 };
  let refused = false;
  const worlds = Array.from(
    { length: NODES },
    (_, node) =>
      new World(SPEC, new Random(seed + node + 1), {
        isDeaf: !preemptive,
        onRefuse: () => {
          refused = true;
        },
        onEnd: ({ plan: { request }, outcome, account }) => {
          const frame = owners.get(request.id) as Frame;
          if (outcome !== 'done') return;
          frame.left--;
          if (request.model === 'low') done.low++;
          else {
            done.high++;
            looked.push({ frame, atUs: account.endedUs });
          }
        },
      }),
  );
  const looked: { frame: Frame; atUs: number }[] = [];
  let id = 0;
  const submit = (world: World, frame: Frame, high: boolean, arrivalUs: number, transferUs = 0): boolean => {
    const kind = high ? HIGH : LOW;
    const request = {
      id: id++,
      model: high ? 'high' : 'low',
      tenant: 'all',
      priority: high ? 'interactive' : 'normal',
      workUs: kind.workUs,
      cores: high ? 1 : LOW.cores,
      // As if the picture came at once and the answer took all of the transfer.
      deadlineUs: arrivalUs + kind.deadlineUs - transferUs,
    };
    owners.set(request.id, frame);
    refused = false;
    world.submit({ request, arrivalUs, actualUs: kind.workUs });
    return !refused;
  };
  /** All classifications of a frame, or none: each on the frame's own node first, then where the least is under way. */
  const place = ({ frame, atUs }: (typeof looked)[number]): void => {
    const own = worlds[frame.node] as World;
    const placed: { world: World; run: number }[] = [];
    for (let task = 0; task < frame.tasks; task++) {
      const others = worlds.filter((world) => world !== own).sort((a, b) => a.live.size - b.live.size);
      const world = [own, ...others].find((each) =>
        submit(each, frame, false, atUs, each === own ? 0 : LOW.transferUs),
      );
      if (!world) {
        for (const each of placed) each.world.cancel(each.run, atUs);
        return;
      }
      placed.push({ world, run: id - 1 });
    }
  };
  let next = 0;
  for (;;) {
    const world = worlds.reduce((a, b) => (b.nextUs < a.nextUs ? b : a));
    const frame = frames[next];
    if (frame && frame.atUs <= world.nextUs) {
      next++;
      submit(worlds[frame.node] as World, frame, true, frame.atUs);
    } else if (world.nextUs < Number.POSITIVE_INFINITY) world.turn();
    else break;
    for (const each of looked.splice(0)) place(each);
  }
  const wanted = frames.reduce((sum, { tasks }) => sum + tasks, 0);
  return {
    trace,
    preemptive,
    high: done.high / FRAMES,
    low: done.low / wanted,
    frames: frames.filter(({ left }) => left === 0).length / FRAMES,
  };
}
