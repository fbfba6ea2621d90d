/** Does what a unit of a task asks for, with what the node has: its models, its commands. */
import { setTimeout as pause } from 'node:timers/promises';
import type { ReportedSoftware } from '../protocol/software.ts';
import type { Assignment, Outcome, Work } from '../protocol/tasks.ts';
import { type NodeCommandPorts, runCommand } from './node-commands.ts';
import type { Requests } from './requests.ts';

const ARRIVAL_MS = 60_000;
const LOOK_MS = 200;

export interface WorkPorts {
  readonly requests: Requests;
  readonly commands: NodeCommandPorts;
  /** As it is reported; undefined when the node is not to have it. */
  modelState(name: string): string | undefined;
  /** As it is reported; undefined where the node's program cannot be replaced. */
  software(): ReportedSoftware | undefined;
}

/** Never rejects: what goes wrong is in the outcome. The inputs of a unit one after the other, until one of them fails. */
export async function doWork(assignment: Assignment, signal: AbortSignal, ports: WorkPorts): Promise<Outcome> {
  const { work } = assignment;
  try {
    if (work.kind === 'command') return { state: 'succeeded', results: [runCommand(work, ports.commands)] };
    if (work.kind === 'update') return await updated(work, signal, ports);
    await arrival(work.model, signal, ports);
    return await inferAll(assignment, work, signal, ports.requests);
  } catch (error) {
    return { state: 'failed', error: (error as Error).message };
  }
}

/** After a start a model takes a while to be loaded. What is not to come is told by the request itself. */
async function arrival(model: string, signal: AbortSignal, { modelState }: WorkPorts): Promise<void> {
  for (let waitedMs = 0; waitedMs < ARRIVAL_MS && !signal.aborted; waitedMs += LOOK_MS) {
    const state = modelState(model);
    if (state === undefined || state === 'ready' || state === 'failed') return;
    await pause(LOOK_MS);
  }
}

/** Waits for what the desired state brings; across restarts of the node, since the unit is begun again. */
async function updated(work: Work & { kind: 'update' }, signal: AbortSignal, ports: WorkPorts): Promise<Outcome> {
  for (let wasKnown = false; !signal.aborted; await pause(LOOK_MS)) {
    const { outcome, isKnown } = lookAtUpdate(work, ports.software(), wasKnown);
    if (outcome) return outcome;
    wasKnown = isKnown;
  }
  return { state: 'cancelled' };
}

/**
 * How far the node is with a version, by what it says of its program. Without an outcome: it is still to come.
 * @param wasKnown whether an earlier look found that the node was to have it: then it is not waited for once it is not any more
 */
export function lookAtUpdate(
  { version, sha256 }: Work & { kind: 'update' },
  software: ReportedSoftware | undefined,
  wasKnown: boolean,
): { outcome?: Outcome; isKnown: boolean } {
  const failed = (error: string) => ({ outcome: { state: 'failed' as const, error }, isKnown: true });
  if (!software) return failed(`software ${version}: the launcher has not started this node`);
  const { update, provisional } = software;
  if (software.sha256 === sha256)
    return { isKnown: true, ...(!provisional && { outcome: { state: 'succeeded', results: [version] } }) };
  if (update?.sha256 === sha256)
    return update.state === 'failed' ? failed(update.error ?? `software ${version} failed`) : { isKnown: true };
  if (wasKnown) return failed(`software ${version}: the node is to have ${update?.version ?? 'another'} now`);
  return { isKnown: false };
}

async function inferAll(
  { unit, deadlineAt, priority }: Assignment,
  { model, format, inputs }: Work & { kind: 'inference' },
  signal: AbortSignal,
  requests: Requests,
): Promise<Outcome> {
  const results: unknown[] = [];
  for (const input of inputs) {
    if (signal.aborted) return { state: 'cancelled' };
    const request = { id: unit, kind: 'infer', expiresAt: deadlineAt, model, input, format } as const;
    const reply = await requests.answer(request, priority);
    if (!reply.ok) return { state: 'failed', error: `input ${results.length + 1} of ${inputs.length}: ${reply.error}` };
    results.push(reply.result);
  }
  return { state: 'succeeded', results };
}
