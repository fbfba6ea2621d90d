/** People who roll things out, some of which do harm, pause, go on and abort; and what must have become of it in the end. */
import type { Software } from '../../runtime/protocol/software.ts';
import { isActive, paused, type RolloutState, resumed, type Step, stopping, tally } from '../rollouts/rollout.ts';
import { rolloutSpecSchema, type Target } from '../rollouts/spec.ts';
import type { SimController } from './controller.ts';
import { anyQuality, anySoftwareQuality, qualityOf, simModel, simSoftware, softwareQualityOf } from './quality.ts';
import type { World } from './world.ts';

export interface Forms {
  readonly models: readonly string[];
  /** Names of triggers that may be rolled out. */
  readonly triggers: readonly string[];
  readonly sites: readonly string[];
  /** Whether a node has said that it cannot run a version. */
  gaveUp(node: string, sha256: string | undefined): boolean;
  /** Another form of a trigger that there is. */
  another(trigger: string): Extract<Target, { kind: 'trigger' }>['trigger'] | undefined;
}

export class RolloutWishes {
  readonly #world: World;
  readonly #controller: SimController;
  readonly #forms: Forms;
  /** Of the last version of each model that was made, whoever brings it to the nodes. */
  readonly #versions = new Map<string, number>();
  readonly #begun = new Set<string>();

  constructor(world: World, controller: SimController, forms: Forms) {
    this.#world = world;
    this.#controller = controller;
    this.#forms = forms;
  }

  /** Whether something else may change it now: the controller refuses that while it is rolled out. */
  isFree(kind: Target['kind'], name?: string): boolean {
    return !this.#active().some(({ rollout: { spec } }) => {
      const { target } = spec;
      if (target.kind !== kind) return false;
      if (target.kind === 'software') return true;
      return (target.kind === 'model' ? target.model : target.trigger.name) === name;
    });
  }

  nextVersion(model: string): number {
    const version = (this.#versions.get(model) ?? 1) + 1;
    this.#versions.set(model, version);
    return version;
  }

  start(): void {
    const { chance, now } = this.#world;
    const id = `r${this.#begun.size}-${now}`;
    const makers = [this.#anyModel, this.#anyModel, this.#anyTrigger, this.#anySoftware];
    const target = chance.pick(makers).call(this);
    if (!target) return;
    const phases = [{ nodes: chance.between(1, 3) }, { percent: chance.between(10, 60) }];
    const bySite = chance.happens(0.3) ? [{ labels: { site: chance.pick(this.#forms.sites) } }] : [];
    const spec = rolloutSpecSchema.parse({
      ...{ target, phases: [...phases, ...bySite], soakMs: chance.between(0, 3_000) },
      ...(target.kind !== 'software' && chance.happens(0.5) && { compare: { messages: chance.between(1, 15) } }),
      ...{ phaseTimeoutMs: chance.between(20_000, 40_000), failurePercentMax: chance.happens(0.3) ? 20 : 0 },
    });
    if (this.#controller.startRollout(id, spec)) this.#begun.add(id);
  }

  interfere(): void {
    const { chance } = this.#world;
    const active = this.#active();
    if (active.length === 0) return;
    const { id } = chance.pick(active).rollout;
    const orders: ((step: Step) => Step)[] = [
      ({ rollout, nodes }) => ({ rollout: paused(rollout), nodes }),
      ({ rollout, nodes }) => ({ rollout: resumed(rollout), nodes }),
      (step) => stopping(step, 'aborted'),
    ];
    this.#controller.orderRollout(id, chance.pick(orders));
  }

  /** Nobody leaves anything paused. */
  resumeAll(): void {
    for (const { rollout } of this.#active())
      if (rollout.state === 'paused')
        this.#controller.orderRollout(rollout.id, ({ rollout, nodes }) => ({ rollout: resumed(rollout), nodes }));
  }

  /** Returns how they ended. */
  check(): Record<string, number> {
    const ends: Partial<Record<RolloutState, number>> = {};
    const { rollouts, versions } = this.#controller.rows;
    for (const id of this.#begun) {
      const step = rollouts.get(id);
      if (!step) this.#world.violate(`rollout ${id} was begun and is lost`);
      if (!step) continue;
      const { rollout, nodes } = step;
      ends[rollout.state] = (ends[rollout.state] ?? 0) + 1;
      if (isActive(rollout) || rollout.reason === null)
        this.#world.violate(`rollout ${id} has not ended: ${rollout.state}, phase ${rollout.phase}`);
      const { target, failurePercentMax } = rollout.spec;
      if (target.kind === 'software') this.#checkSoftware(step, target.version);
      const model = target.kind === 'model' ? versions.get(`${target.model}@${target.version}`) : undefined;
      // What only answers otherwise is noticed where it is compared.
      const isSeen = rollout.spec.compare !== undefined || (model && qualityOf(model) !== 'answers otherwise');
      const doesHarm = model !== undefined && qualityOf(model) !== 'good' && isSeen;
      if (doesHarm && rollout.state === 'finished' && failurePercentMax === 0)
        this.#world.violate(`rollout ${id} brought ${qualityOf(model)} to all: ${JSON.stringify(tally(nodes))}`);
    }
    return ends;
  }

  #checkSoftware({ rollout, nodes }: Step, version: string): void {
    const { sha256 } = this.#controller.rows.software.get(version) as Software;
    const quality = softwareQualityOf(sha256);
    if (quality !== 'good' && nodes.some(({ finished }) => finished === 'success'))
      this.#world.violate(`rollout ${rollout.id}: a node has ${version}, which ${quality}`);
    for (const { node, finished, details } of nodes)
      if (finished === 'failure' && !details?.startsWith('not done within') && !this.#forms.gaveUp(node, sha256))
        this.#world.violate(`rollout ${rollout.id}: ${node} counts as failed and is not: ${details}`);
  }

  #active(): Step[] {
    return [...this.#controller.rows.rollouts.values()].filter(({ rollout }) => isActive(rollout));
  }

  #anyModel(): Target | undefined {
    const { chance } = this.#world;
    const model = chance.pick(this.#forms.models);
    const { rows } = this.#controller;
    if (!this.isFree('model', model) || !rows.models.has(model)) return undefined;
    const made = simModel(model, this.nextVersion(model), anyQuality(chance));
    rows.versions.set(`${model}@${made.version}`, made);
    return { kind: 'model', model, version: made.version };
  }

  /** A version of the nodes' program, often a new one. */
  anyVersion(): string {
    const { chance } = this.#world;
    const { software } = this.#controller.rows;
    if (software.size > 0 && chance.happens(0.3)) return chance.pick([...software.keys()]);
    const made = simSoftware(`v${software.size + 1}`, anySoftwareQuality(chance));
    this.#controller.change((rows) => rows.software.set(made.version, made));
    return made.version;
  }

  #anySoftware(): Target | undefined {
    if (!this.isFree('software')) return undefined;
    const version = this.anyVersion();
    const { software, released } = this.#controller.rows;
    return software.has(version) && released !== version ? { kind: 'software', version } : undefined;
  }

  #anyTrigger(): Target | undefined {
    const name = this.#world.chance.pick(this.#forms.triggers);
    const trigger = this.isFree('trigger', name) ? this.#forms.another(name) : undefined;
    return trigger && { kind: 'trigger', trigger };
  }
}
