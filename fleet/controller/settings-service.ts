/** Named settings and the nodes that they are for; what a node gets of them, and what it says became of that. */
import type { ReportedSetting } from '../../runtime/protocol/settings.ts';
import type { Database } from './database.ts';
import { selects } from './selector.ts';
import { type AssignedSettings, type MergedSetting, mergeSettings } from './settings-merge.ts';
import { deleteSettings, readSettings, saveSettings } from './settings-store.ts';
import { readNodes, type StoredNode } from './store.ts';

const SETTINGS_MAX = 1_000;

export interface SettingsView extends AssignedSettings {
  /** Nodes that it selects, with what they say of the settings in it that count there. */
  readonly nodes: readonly { readonly node: string; readonly trouble: readonly ReportedSetting[] }[];
}

export interface ExplainedSetting extends MergedSetting {
  readonly setting: string;
  /** What the node says; null until it has answered, or where it is older than settings. */
  readonly node: ReportedSetting | null;
}

export interface SettingsExplanation {
  readonly node: string;
  /** False for nodes of a version that knows no settings. */
  readonly isAble: boolean;
  readonly settings: readonly ExplainedSetting[];
}

/** Every rejection is an Error whose message is fit for the person who asked. */
export interface SettingsAdmin {
  /** Creates or replaces by name. */
  put(settings: AssignedSettings): Promise<SettingsView>;
  list(): Promise<SettingsView[]>;
  /** Nodes go back to what others say, or to what they do by themselves. */
  remove(name: string): Promise<void>;
  explain(node: string): Promise<SettingsExplanation>;
}

export interface SettingsPorts {
  readonly database: Database;
  readonly now: () => number;
  /** Commits the work with the desired states that follow from it, then publishes those. */
  change<T>(work: (transaction: Database) => Promise<T>): Promise<T>;
}

export class SettingsService implements SettingsAdmin {
  readonly #ports: SettingsPorts;

  constructor(ports: SettingsPorts) {
    this.#ports = ports;
  }

  async put(settings: AssignedSettings): Promise<SettingsView> {
    const { name, values } = settings;
    if (Object.values(values).every((value) => value === undefined))
      throw new Error(`settings "${name}": expected at least one setting, got none`);
    await this.#ports.change(async (transaction) => {
      const all = await readSettings(transaction);
      if (all.length >= SETTINGS_MAX && !all.some((one) => one.name === name))
        throw new Error(`settings "${name}": there are ${SETTINGS_MAX}, no more fit; remove one first`);
      await saveSettings(transaction, settings, this.#ports.now());
    });
    const view = (await this.list()).find((one) => one.name === name);
    if (!view) throw new Error(`settings "${name}" were removed by somebody else meanwhile; set them again`);
    return view;
  }

  async list(): Promise<SettingsView[]> {
    const { database } = this.#ports;
    const [all, nodes] = [await readSettings(database), await readNodes(database)];
    const merged = nodes.map((node) => ({ node, settings: mergeSettings(all, factsOf(node)) }));
    return all.map((one) => ({
      ...one,
      nodes: merged
        .filter(({ node }) => selects(one.selector, factsOf(node)))
        .map(({ node, settings }) => {
          const own = Object.entries(settings).flatMap(([setting, { from }]) => (from === one.name ? [setting] : []));
          const told = node.reported?.settings ?? [];
          return {
            node: node.name,
            trouble: told.filter(({ name, state }) => own.includes(name) && state !== 'applied'),
          };
        }),
    }));
  }

  async remove(name: string): Promise<void> {
    await this.#ports.change(async (transaction) => {
      if (await deleteSettings(transaction, name)) return;
      const names = (await readSettings(transaction)).map((one) => one.name);
      throw new Error(`there are no settings "${name}"; there are ${names.join(', ') || 'none yet'}`);
    });
  }

  async explain(name: string): Promise<SettingsExplanation> {
    const { database } = this.#ports;
    const [node] = await readNodes(database, [name]);
    if (!node) throw new Error(`there is no node "${name}"; "llmasos nodes" shows those that there are`);
    const merged = mergeSettings(await readSettings(database), factsOf(node));
    const told = new Map(node.reported?.settings?.map((one) => [one.name, one]));
    const isAble = node.reported?.features?.includes('settings') ?? false;
    const settings = Object.entries(merged).map(([setting, one]) => ({
      ...{ setting, ...one, node: told.get(setting) ?? null },
    }));
    return { node: name, isAble, settings };
  }
}

function factsOf({ name, reported }: StoredNode) {
  return { name, labels: reported?.labels ?? {} };
}
