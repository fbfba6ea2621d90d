/** Whether a run comes in, and where it waits: the first thing that happens to it. docs/scheduling.md, Admission. */
import { findMiss, milliseconds } from './admission.ts';
import type { RefusalCause, RunRequest, SchedulerSpec } from './events.ts';
import { type Job, type ResidentModel, type Run, remainingUs, type Slice } from './job.ts';
import type { Pool } from './pool.ts';
import { PRIORITIES, type PriorityClass, priorityOf, SAFETY } from './priorities.ts';
import type { Residency } from './residency.ts';
import { quotaProblem, shareOf, type Tenant, Tenants } from './tenants.ts';

export interface Refused {
  readonly cause: RefusalCause;
  readonly reason: string;
}

export class Gate {
  readonly #spec: SchedulerSpec;
  readonly #tenants: Tenants;
  readonly #pools: readonly Pool[];
  readonly #residency: Residency;
  #sequence = 0;

  constructor(spec: SchedulerSpec, pools: readonly Pool[], residency: Residency) {
    this.#spec = spec;
    this.#pools = pools;
    this.#residency = residency;
    this.#tenants = new Tenants(spec.tenants, pools);
  }

  hasTenant(name: string): boolean {
    return this.#tenants.get(name) !== undefined;
  }

  /** The run, or why it is refused. */
  check(request: RunRequest, nowUs: number): Run | Refused {
    const priority = priorityOf(request.priority);
    if (priority === undefined) {
      const names = PRIORITIES.map(({ name }) => name).join(', ');
      return wrong(`priority: expected one of ${names}, got "${request.priority}"`);
    }
    const tenant = this.#tenants.get(request.tenant);
    if (!tenant)
      return {
        cause: 'quota',
        reason: `tenant "${request.tenant}" has no quota here; name it among the tenants of this node or engine`,
      };
    const problem = quotaProblem(tenant, priority);
    if (problem) return { cause: 'quota', reason: problem };
    const { deadlineUs, timeoutUs, cores = 1, instead } = request;
    if (!Number.isInteger(cores) || cores < 1) return wrong(`cores: expected a whole number above 0, got ${cores}`);
    if (deadlineUs !== undefined && !(deadlineUs > nowUs))
      return { cause: 'deadline', reason: pastDeadline(nowUs - deadlineUs) };
    if (timeoutUs !== undefined && !(timeoutUs > 0))
      return wrong(`time-out: expected a time above 0, got ${milliseconds(timeoutUs)}`);
    const asked = this.#tryModel(request, request.model, request.workUs, priority, tenant, nowUs);
    if (!('cause' in asked) || asked.cause !== 'deadline' || !instead) return asked;
    for (const { model, workUs } of instead) {
      const smaller = this.#tryModel(request, model, workUs, priority, tenant, nowUs);
      if ('cause' in smaller) continue;
      smaller.degraded = asked.reason;
      return smaller;
    }
    return asked;
  }

  #tryModel(
    request: RunRequest,
    name: string,
    workUs: number,
    priority: number,
    tenant: Tenant,
    nowUs: number,
  ): Run | Refused {
    const model = this.#residency.get(name);
    if (!model) return wrong(`model: expected one that is registered, got "${name}"`);
    if (!(workUs >= 0)) return wrong(`workUs: expected 0 or more, got ${workUs}`);
    const never = this.#residency.neverFits(model);
    if (never) return wrong(never);
    const pool = this.#place(model, workUs, priority, nowUs);
    if (!pool) return wrong(this.#nowhere(model, priority));
    const hereUs = pool.workUs(model.spec, workUs) as number;
    // Foretold before the run is made: an overloaded node refuses many.
    const late = priority === SAFETY ? undefined : this.#predictMiss(request, priority, model, pool, hereUs, nowUs);
    if (late !== undefined) return { cause: 'deadline', reason: late };
    const run = newRun(request, this.#sequence++, priority, model, tenant, pool, hereUs, nowUs);
    const unsafe = priority === SAFETY && !waitsFreely(request) ? this.#proveSafety(run.job, nowUs) : undefined;
    return unsafe === undefined ? run : { cause: 'deadline', reason: unsafe };
  }

  /** The pool where a run is expected to end first. */
  #place({ spec }: ResidentModel, coreUs: number, priority: number, nowUs: number): Pool | undefined {
    let best: Pool | undefined;
    let bestUs = Number.POSITIVE_INFINITY;
    for (let i = 0; i < this.#pools.length; i++) {
      const pool = this.#pools[i] as Pool;
      const workUs = pool.workUs(spec, coreUs);
      // Nothing can be promised where a run cannot be interrupted.
      if (workUs === undefined || (priority === SAFETY && !pool.isPreemptible)) continue;
      if (this.#pools.length === 1) return pool;
      const responseUs = pool.responseUs(priority, workUs, nowUs);
      if (best && responseUs >= bestUs) continue;
      best = pool;
      bestUs = responseUs;
    }
    return best;
  }

  #nowhere({ spec: { name, onCores } }: ResidentModel, priority: number): string {
    if (priority === SAFETY)
      return `model "${name}" runs on accelerators only, which finish what they have begun, so that nothing can be promised to a safety run; expected a model that cores can compute`;
    const here = this.#spec.accelerators ?? [];
    const there = here.length > 0 ? here.join(', ') : 'none';
    return `model "${name}" ${onCores === false ? 'runs on accelerators only' : 'has nowhere to run'}, and those here are: ${there}; send it to another node`;
  }

  /** Why a safety run is refused; undefined when it and all others will end in time. */
  #proveSafety(job: Job, nowUs: number): string | undefined {
    const { name } = job.model.spec;
    if (!job.started && !this.#residency.canStart(job.model))
      return `model "${name}" is not in memory, so that nothing can be promised to a safety run; pin the model`;
    const { cores, ready } = job.pool;
    const coreFreeUs: number[] = [];
    for (let core = 0; core < cores.count; core++) coreFreeUs.push(nowUs);
    for (const slice of cores.slices) {
      if (slice.job.priority !== SAFETY || slice.job.runs.length === 0) continue;
      const endUs = safetyEndUs(slice, nowUs);
      for (const core of slice.cores) coreFreeUs[core] = endUs;
    }
    const waiting = ready.of(SAFETY).jobs();
    const { instructionUs, answerUs = 0 } = this.#spec;
    const miss = findMiss({ nowUs, instructionUs, answerUs, coreFreeUs, waiting }, job);
    if (!miss) return undefined;
    const whose = miss.job === job ? 'it' : `run ${miss.job.runs[0]?.request.id}, admitted before,`;
    return `the deadline cannot be promised: ${whose} would end ${milliseconds(miss.answerUs - miss.job.key)} late behind other safety runs; allow more time or send it to another node`;
  }

  /** Why a run with a deadline is refused; undefined when it is expected to end in time. */
  #predictMiss(
    { deadlineUs, cores = 1 }: RunRequest,
    priority: number,
    model: ResidentModel,
    pool: Pool,
    coreUs: number,
    nowUs: number,
  ): string | undefined {
    if (deadlineUs === undefined) return undefined;
    const workUs = pool.ownUs(priority, cores, coreUs);
    const loadUs = model.state === 'loaded' ? 0 : (model.spec.loadUs ?? 0);
    const taken = pool.takenShare(priority, nowUs);
    const aheadUs = pool.aheadUs(priority, nowUs);
    const own = pool.ready.of(priority);
    if (nowUs + loadUs + pool.stretchedUs(aheadUs + own.workUs, workUs, taken) <= deadlineUs) return undefined;
    // Not all of the class goes before it: count those that do.
    const before = aheadUs + own.workBefore(deadlineUs, nowUs);
    const response = loadUs + pool.stretchedUs(before, workUs, taken);
    if (nowUs + response <= deadlineUs) return undefined;
    const where = pool.name === undefined ? `${pool.cores.count} cores` : `accelerator "${pool.name}"`;
    return `expected to end after ${milliseconds(response)}, later than its deadline in ${milliseconds(deadlineUs - nowUs)}: ${milliseconds(before)} of work as urgent or more is ahead on ${where}, and ${Math.round(taken * 100)}% of that is taken by other classes; allow more time, a higher class, a smaller model or another node`;
  }
}

/** When a core will have done its safety work. One that takes longer than its bound said goes on until it is ended, or as long again. */
function safetyEndUs({ job, startedUs }: Slice, nowUs: number): number {
  const endUs = startedUs + remainingUs(job);
  const { request, key: endedUs } = job.runs[0] as Run;
  if (request.isUnknown) return endedUs;
  if (endUs > nowUs) return endUs;
  return endedUs < Number.POSITIVE_INFINITY ? endedUs : nowUs + (nowUs - startedUs);
}

/** For its model to be loaded, however long that takes. */
function waitsFreely({ part, deadlineUs }: RunRequest): boolean {
  return part === 'entry' && deadlineUs === undefined;
}

function pastDeadline(us: number): string {
  return `deadline: expected one to come, got one ${milliseconds(us)} ago`;
}

function wrong(reason: string): Refused {
  return { cause: 'request', reason };
}

function newRun(
  request: RunRequest,
  sequence: number,
  priority: number,
  model: ResidentModel,
  tenant: Tenant,
  pool: Pool,
  workUs: number,
  nowUs: number,
): Run {
  const { deadlineUs, timeoutUs, cores = 1, sinceUs = nowUs, isContinued, part } = request;
  const runs: Run[] = [];
  const job: Job = {
    key: deadlineUs ?? sinceUs + (PRIORITIES[priority] as PriorityClass).targetUs,
    sequence,
    slot: -1,
    span: -1,
    priority,
    model,
    cores,
    pool,
    share: shareOf(tenant, pool, priority),
    runs,
    workUs,
    usedUs: 0,
    started: part === 'step',
    isEntry: part === 'entry',
    slice: undefined,
  };
  const run: Run = {
    key: Math.min(deadlineUs ?? Number.POSITIVE_INFINITY, nowUs + (timeoutUs ?? Number.POSITIVE_INFINITY)),
    sequence,
    slot: -1,
    request,
    tenant,
    batching: undefined,
    degraded: undefined,
    job,
    submittedUs: isContinued ? nowUs : sinceUs,
    readyUs: undefined,
    slices: [],
    usedUs: 0,
    preemptions: 0,
  };
  runs.push(run);
  return run;
}
