/**
 * A rollout as a state machine without I/O: `advance` takes it, its nodes and what each of them reports, and gives what has
 * become of them. All that it needs is in the two of them, which are on the disk, so a controller that was killed goes on.
 *
 *   running ⇄ paused          phase by phase: (the first: compare →) update → soak → the next phase
 *      │ └→ finished          every node that was there has it; from now on it is what nodes get
 *      └──→ stopping → stopped   halted or aborted: every node that was there is back on what it had
 */
import { createHash } from 'node:crypto';
import type { Verdict } from './comparison.ts';
import { CANCELED, failure, isOpen, isSame, type Progress, SCHEDULED } from './progress.ts';
import { type Phase, phaseText, type RolloutSpec } from './spec.ts';

export type RolloutState = 'running' | 'paused' | 'stopping' | 'finished' | 'stopped';

export interface Rollout {
  readonly id: string;
  readonly spec: RolloutSpec;
  readonly state: RolloutState;
  /** From 0; nodes of this phase and of those before it are to have it. */
  readonly phase: number;
  /** `compare`: its nodes run old and new side by side; `soak`: they have it, and are watched before the next phase begins. */
  readonly stage: 'compare' | 'update' | 'soak';
  /** In this stage, as long as the controller could hear nodes. */
  readonly waitedMs: number;
  /** Why it does not run, or how it ended. */
  readonly reason: string | null;
  readonly startedAt: number;
  readonly endedAt: number | null;
}

export interface RolloutNode extends Progress {
  readonly node: string;
  readonly phase: number;
}

/** What the controller knows of a node at present. */
export interface Sight {
  /** It is there and may be changed. */
  readonly isAble: boolean;
  /** With what it is to have now: what the rollout brings, or, while that is taken back, what it had. */
  readonly progress: Progress;
  /** While it compares. */
  readonly verdict?: Verdict;
}

export interface Step {
  readonly rollout: Rollout;
  readonly nodes: readonly RolloutNode[];
}

export function isActive({ state }: Pick<Rollout, 'state'>): boolean {
  return state === 'running' || state === 'paused' || state === 'stopping';
}

/** Whether the node is to have it now. */
export function gets(
  { state, phase, stage }: Pick<Rollout, 'state' | 'phase' | 'stage'>,
  node: Pick<RolloutNode, 'phase'>,
): boolean {
  if (state !== 'running' && state !== 'paused') return false;
  return node.phase < phase || (node.phase === phase && stage !== 'compare');
}

/** Whether the node is to run it beside what it has. */
export function compares(
  { state, phase, stage }: Pick<Rollout, 'state' | 'phase' | 'stage'>,
  node: Pick<RolloutNode, 'phase'>,
): boolean {
  return (state === 'running' || state === 'paused') && stage === 'compare' && node.phase === phase;
}

export interface Candidate {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly online: boolean;
}

/** Nodes that are there come first, since an absent one tells nothing; beyond that the order is anybody's, and fixed. */
export function newRollout(id: string, spec: RolloutSpec, candidates: readonly Candidate[], now: number): Step {
  const lot = ({ name }: Candidate): string => createHash('sha256').update(`${id}/${name}`).digest('hex');
  const lots = new Map(candidates.map((one) => [one, `${one.online ? 0 : 1}${lot(one)}`]));
  const order = [...candidates].sort((a, b) => ((lots.get(a) as string) < (lots.get(b) as string) ? -1 : 1));
  const phases: (readonly Candidate[])[] = [];
  let rest = order;
  for (const phase of [...spec.phases, undefined]) {
    const chosen = chosenFor(phase, rest, candidates.length);
    rest = rest.filter((one) => !chosen.includes(one));
    phases.push(chosen);
  }
  const nodes = phases.flatMap((chosen, phase) => chosen.map(({ name }) => ({ node: name, phase, ...SCHEDULED })));
  const rollout: Rollout = {
    ...{
      id,
      spec,
      state: 'running',
      phase: nodes[0]?.phase ?? 0,
      stage: spec.compare ? 'compare' : 'update',
      waitedMs: 0,
      reason: null,
    },
    ...{ startedAt: now, endedAt: null },
  };
  return { rollout, nodes };
}

function chosenFor(phase: Phase | undefined, rest: readonly Candidate[], all: number): readonly Candidate[] {
  if (!phase) return rest;
  if ('nodes' in phase) return rest.slice(0, phase.nodes);
  if ('percent' in phase)
    return rest.slice(0, Math.max(0, Math.ceil((all * phase.percent) / 100) - (all - rest.length)));
  return rest.filter(({ labels }) => Object.entries(phase.labels).every(([key, value]) => labels[key] === value));
}

/** @param sees of nodes that are to have it or to give it back. @param elapsedMs since the last call */
export function advance({ rollout, nodes }: Step, sees: (node: string) => Sight, elapsedMs: number, now: number): Step {
  if (!isActive(rollout)) return { rollout, nodes };
  const waitedMs = rollout.waitedMs + elapsedMs;
  if (rollout.state === 'stopping') return takeBack({ rollout: { ...rollout, waitedMs }, nodes }, sees, now);
  const seen = nodes.map((node) => (gets(rollout, node) ? { ...node, ...kept(node, sees(node.node).progress) } : node));
  if (rollout.state === 'paused') return { rollout, nodes: seen };
  const step = { rollout: { ...rollout, waitedMs }, nodes: seen };
  return rollout.stage === 'compare' ? compare(step, sees) : goOn(step, sees, now);
}

/** Every node of the first phase that is there has to pass; one that fails is enough to stop. */
function compare({ rollout, nodes }: Step, sees: (node: string) => Sight): Step {
  const isLate = rollout.waitedMs > rollout.spec.phaseTimeoutMs;
  const seen = nodes.filter((node) => compares(rollout, node)).map(({ node }) => ({ node, ...sees(node) }));
  const told = new Map(seen.map(({ node, verdict }) => [node, verdict?.details ?? null]));
  const next = nodes.map((node) => (told.has(node.node) ? { ...node, details: told.get(node.node) ?? null } : node));
  const failed = seen.find(({ verdict }) => verdict?.state === 'failed');
  if (failed) return stopping({ rollout, nodes: next }, `compared on ${failed.node}: ${failed.verdict?.details}`);
  const passed = seen.filter(({ verdict }) => verdict?.state === 'passed');
  const awaited = seen.filter(({ isAble, verdict }) => isAble && verdict?.state !== 'passed');
  if (passed.length > 0 && awaited.length === 0)
    return { rollout: { ...rollout, stage: 'update', waitedMs: 0 }, nodes: next };
  if (!isLate) return { rollout, nodes: next };
  const [first] = awaited;
  const why = first ? `${first.node}: ${first.verdict?.details}` : 'no node that can compare was there';
  return stopping({ rollout, nodes: next }, `not compared within ${rollout.spec.phaseTimeoutMs / 1000} s: ${why}`);
}

/** A node that was given up for its silence may still make it; one that failed by its own word has failed. */
function kept(before: Progress, seen: Progress): Progress {
  return before.finished === 'failure' && seen.finished !== 'success' ? before : seen;
}

function goOn({ rollout, nodes }: Step, sees: (node: string) => Sight, now: number): Step {
  const { spec, phase, waitedMs } = rollout;
  const inPhase = nodes.filter((node) => node.phase === phase);
  const isLate = waitedMs > spec.phaseTimeoutMs && rollout.stage === 'update';
  const awaited = inPhase.filter((node) => isOpen(node) && sees(node.node).isAble);
  if (isLate && awaited.length > 0) {
    const late = failure(`not done within ${spec.phaseTimeoutMs / 1000} s of the phase`);
    return goOn(
      { rollout, nodes: nodes.map((node) => (awaited.includes(node) ? { ...node, ...late } : node)) },
      sees,
      now,
    );
  }
  const halt = tooManyFailures(rollout, nodes);
  if (halt !== undefined) return stopping({ rollout, nodes }, halt);
  if (rollout.stage === 'soak') return waitedMs < spec.soakMs ? { rollout, nodes } : nextPhase({ rollout, nodes }, now);
  if (awaited.length > 0) return { rollout, nodes };
  if (inPhase.every(({ execution }) => execution === 'canceled')) return nextPhase({ rollout, nodes }, now);
  if (inPhase.some(({ finished }) => finished !== 'none'))
    return { rollout: { ...rollout, stage: 'soak', waitedMs: 0 }, nodes };
  if (!isLate) return { rollout, nodes };
  const name = phaseText(spec.phases[phase]);
  return stopping(
    { rollout, nodes },
    `no node of phase ${phase + 1} (${name}) was there, and free to change, for ${spec.phaseTimeoutMs / 1000} s`,
  );
}

function tooManyFailures({ spec, phase }: Rollout, nodes: readonly RolloutNode[]): string | undefined {
  // What became of it on nodes that have no use for it any more says nothing of it.
  const given = nodes.filter((node) => node.phase <= phase && node.execution !== 'canceled');
  const failed = given.filter(({ finished }) => finished === 'failure');
  if (failed.length * 100 <= spec.failurePercentMax * given.length) return undefined;
  const [first] = failed;
  const most = spec.failurePercentMax === 0 ? 'none may' : `at most ${spec.failurePercentMax}% may`;
  return `${failed.length} of ${given.length} nodes failed, ${most}: ${first?.node}: ${first?.details}`;
}

function nextPhase({ rollout, nodes }: Step, now: number): Step {
  const later = nodes.filter(({ phase }) => phase > rollout.phase).map(({ phase }) => phase);
  if (later.length > 0)
    return { rollout: { ...rollout, phase: Math.min(...later), stage: 'update', waitedMs: 0 }, nodes };
  const counts = tally(nodes);
  if (counts.success + counts.failure === 0) return stopping({ rollout, nodes }, 'no node is to have it any more');
  const away = counts.open === 0 ? '' : `; ${counts.open} away take it when they are back`;
  const failed = counts.failure === 0 ? '' : `, ${counts.failure} failed`;
  const reason = `${counts.success} of ${nodes.length} nodes have it${failed}${away}`;
  return { rollout: { ...rollout, state: 'finished', endedAt: now, waitedMs: 0, reason }, nodes };
}

/** Everything that was given is taken back. */
export function stopping({ rollout, nodes }: Step, reason: string): Step {
  if (!isActive(rollout) || rollout.state === 'stopping') return { rollout, nodes };
  const never = (node: RolloutNode): boolean => !gets(rollout, node);
  return {
    rollout: { ...rollout, state: 'stopping', waitedMs: 0, reason },
    nodes: nodes.map((node) => (never(node) ? { ...node, ...CANCELED, details: node.details } : node)),
  };
}

function takeBack({ rollout, nodes }: Step, sees: (node: string) => Sight, now: number): Step {
  const next = nodes.map((node) => {
    if (node.execution === 'canceled' || isOpen(sees(node.node).progress)) return node;
    return { ...node, ...CANCELED, details: node.finished === 'failure' ? node.details : null };
  });
  const open = next.filter(({ execution }) => execution !== 'canceled');
  const awaited = open.filter(({ node }) => sees(node).isAble);
  if (awaited.length > 0 && rollout.waitedMs <= rollout.spec.phaseTimeoutMs) return { rollout, nodes: next };
  const away = open.length === 0 ? '' : `; ${open.length} that could not be heard go back when they are`;
  const left = { ...CANCELED, details: 'could not be heard; goes back when it is' };
  return {
    rollout: { ...rollout, state: 'stopped', endedAt: now, waitedMs: 0, reason: `${rollout.reason}${away}` },
    nodes: next.map((node) => (open.includes(node) ? { ...node, ...left } : node)),
  };
}

export function paused(rollout: Rollout): Rollout {
  return rollout.state === 'running' ? { ...rollout, state: 'paused', reason: 'paused' } : rollout;
}

/** The time of its stage begins anew. */
export function resumed(rollout: Rollout): Rollout {
  return rollout.state === 'paused' ? { ...rollout, state: 'running', reason: null, waitedMs: 0 } : rollout;
}

/** What a step has changed: which nodes are to have it (`moves`), how far they are, or nothing but the time that has passed. */
export function courseOf(before: Step, after: Step): 'moves' | 'progress' | 'same' {
  if (before.rollout.state !== after.rollout.state || before.rollout.phase !== after.rollout.phase) return 'moves';
  if (before.rollout.stage === 'compare' && after.rollout.stage === 'update') return 'moves';
  if (before.rollout.stage !== after.rollout.stage) return 'progress';
  return after.nodes.every((node, index) => isSame(before.nodes[index], node)) ? 'same' : 'progress';
}

export function tally(nodes: readonly RolloutNode[]): Record<'success' | 'failure' | 'canceled' | 'open', number> {
  const counts = { success: 0, failure: 0, canceled: 0, open: 0 };
  for (const { execution, finished } of nodes)
    counts[execution === 'canceled' ? 'canceled' : finished === 'none' ? 'open' : finished]++;
  return counts;
}
