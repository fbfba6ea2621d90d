/**
 * Which value a node gets where several named settings select it, setting by setting: that of the highest priority; among equals that of
 * the narrowest selector (nodes by name, then the most labels, then every node); among those the name that comes first. No I/O.
 */
import { type SettingName, type Settings, settingNames } from '../../runtime/protocol/settings.ts';
import { selects } from './selector.ts';
import type { NodeSelector } from './service.ts';

/** Settings of one name, and the nodes that they are for. */
export interface AssignedSettings {
  readonly name: string;
  readonly values: Settings;
  readonly selector: Pick<NodeSelector, 'nodes' | 'labels'>;
  /** Where several select a node, the higher one's value counts. */
  readonly priority: number;
}

export interface MergedSetting {
  readonly value: unknown;
  /** The named settings that it comes from. */
  readonly from: string;
  /** Those that say something else, or the same, and have to give way, in their order. */
  readonly over: readonly string[];
}

/** By setting, in the order in which they are documented. */
export function mergeSettings(
  all: readonly AssignedSettings[],
  node: { readonly name: string; readonly labels: Readonly<Record<string, string>> },
): Partial<Record<SettingName, MergedSetting>> {
  const order = all.filter(({ selector }) => selects(selector, node)).sort(precedence);
  const merged: Partial<Record<SettingName, MergedSetting>> = {};
  for (const setting of settingNames) {
    const [first, ...others] = order.filter(({ values }) => values[setting] !== undefined);
    if (first)
      merged[setting] = { value: first.values[setting], from: first.name, over: others.map(({ name }) => name) };
  }
  return merged;
}

function precedence(a: AssignedSettings, b: AssignedSettings): number {
  return b.priority - a.priority || narrowness(b) - narrowness(a) || (a.name < b.name ? -1 : 1);
}

/** A selector has far fewer labels than that. */
const BY_NAME = 1_000_000;

function narrowness({ selector: { nodes, labels = {} } }: AssignedSettings): number {
  return (nodes ? BY_NAME : 0) + Object.keys(labels).length;
}
