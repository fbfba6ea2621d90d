/** Rollouts as they are shown. */
import { isOpen, type Progress } from './progress.ts';
import { type Rollout, type RolloutNode, type RolloutState, tally } from './rollout.ts';
import { phaseText, targetText } from './spec.ts';

const NODES_SHOWN = 1_000;

export interface RolloutView {
  readonly id: string;
  /** `model vad v3`, or `trigger speech`. */
  readonly what: string;
  readonly state: RolloutState;
  readonly stage: Rollout['stage'];
  /** From 1. */
  readonly phase: number;
  readonly phases: number;
  readonly reason: string | null;
  readonly startedAt: number;
  readonly endedAt: number | null;
}

export interface PhaseView {
  /** From 1; phases that no node was left for are not there. */
  readonly phase: number;
  readonly name: string;
  readonly nodes: number;
  readonly success: number;
  readonly failure: number;
  readonly canceled: number;
  readonly open: number;
  /** What those that are open do. */
  readonly doing: Readonly<Partial<Record<Progress['execution'], number>>>;
}

export interface RolloutDetail extends RolloutView {
  readonly phaseList: readonly PhaseView[];
  /** The first thousand. */
  readonly nodeList: readonly RolloutNode[];
}

export function rolloutView(rollout: Rollout): RolloutView {
  const { id, spec, state, stage, phase, reason, startedAt, endedAt } = rollout;
  const phases = spec.phases.length + 1;
  return { id, what: targetText(spec.target), state, stage, phase: phase + 1, phases, reason, startedAt, endedAt };
}

export function rolloutDetail(rollout: Rollout, nodes: readonly RolloutNode[]): RolloutDetail {
  const phases = [...new Set(nodes.map(({ phase }) => phase))].sort((a, b) => a - b);
  const phaseList = phases.map((phase): PhaseView => {
    const own = nodes.filter((node) => node.phase === phase);
    const doing: Partial<Record<Progress['execution'], number>> = {};
    for (const { execution } of own.filter(isOpen)) doing[execution] = (doing[execution] ?? 0) + 1;
    const name = phaseText(rollout.spec.phases[phase]);
    return { phase: phase + 1, name, nodes: own.length, ...tally(own), doing };
  });
  return { ...rolloutView(rollout), phaseList, nodeList: nodes.slice(0, NODES_SHOWN) };
}
