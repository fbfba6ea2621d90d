/** Where triggers are whose nodes the controller chooses: decided when something changes, kept with the reason in the database. */
import type { Logger } from 'pino';
import { HoldDown } from '../placement/hold-down.ts';
import type { Database } from './database.ts';
import { type FleetProblem, fleetProblem } from './fleet-problem.ts';
import { decidePlacing, type PlacingDecision } from './placing.ts';
import type { Live } from './registry.ts';
import type { NodeView } from './service.ts';
import { newest, readModels, readTriggers, savePlacement } from './store.ts';

type Lives = ReadonlyMap<string, Live>;

export interface PlacementPorts {
  readonly database: Database;
  readonly now: () => number;
  readonly log: Logger;
  /** @param live what has come since, of the nodes in it */
  nodeViews(database: Database, live: Lives): Promise<NodeView[]>;
}

export class Placements {
  readonly holdDown: HoldDown;
  readonly #ports: PlacementPorts;

  constructor(ports: PlacementPorts) {
    this.#ports = ports;
    this.holdDown = new HoldDown(ports.now());
  }

  /** The fleet as a problem of placement, with where its triggers are now and why. */
  async problem(): Promise<FleetProblem> {
    const { database, nodeViews } = this.#ports;
    const triggers = await readTriggers(database);
    const placements = new Map(
      triggers.flatMap(({ trigger, placement }) => (placement ? [[trigger.name, placement]] : [])),
    );
    const placedOn = (trigger: string): readonly string[] => placements.get(trigger)?.nodes ?? [];
    const views = await nodeViews(database, new Map());
    return {
      ...fleetProblem(views, triggers, await modelBytes(database), placedOn),
      decisions: Object.fromEntries(placements),
    };
  }

  /** A node that served something was lost, or something has too few nodes, and that can be changed. */
  async isDue(): Promise<boolean> {
    return (await this.#decisions(this.#ports.database, new Map())).length > 0;
  }

  /** Decides and keeps, inside the caller's transaction. Returns the nodes that get or lose a trigger. */
  async decide(transaction: Database, live: Lives = new Map()): Promise<string[]> {
    const before = new Map(
      (await readTriggers(transaction)).map(({ trigger, placement }) => [trigger.name, placement?.nodes ?? []]),
    );
    const touched: string[] = [];
    for (const { trigger, nodes, reason } of await this.#decisions(transaction, live)) {
      await savePlacement(transaction, trigger, { nodes, reason, decidedAt: this.#ports.now() });
      this.#ports.log.info(`trigger "${trigger}" is on ${nodes.join(', ') || 'no node'}: ${reason}`);
      touched.push(...nodes, ...(before.get(trigger) ?? []));
    }
    return touched;
  }

  async #decisions(database: Database, live: Lives): Promise<PlacingDecision[]> {
    const triggers = await readTriggers(database);
    if (!triggers.some(({ selector }) => selector.replicas !== undefined)) return [];
    const now = this.#ports.now();
    return decidePlacing({
      nodes: await this.#ports.nodeViews(database, live),
      triggers,
      modelBytes: await modelBytes(database),
      isLost: (node) => this.holdDown.isLost(node, now),
      refusal: (node) => this.holdDown.refusal(node, now),
    });
  }
}

async function modelBytes(database: Database): Promise<Map<string, number>> {
  return new Map(newest(await readModels(database)).map(({ name, bytes }) => [name, bytes]));
}
