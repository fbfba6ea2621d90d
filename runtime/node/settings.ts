/**
 * A node's settings: what the desired state asks for, what its own command line says, and what is in force of it. Who started the node
 * with a flag stands beside it, so the flag wins. A value that is none leaves the one before in force, also over restarts.
 */
import {
  type ReportedSetting,
  type SettingName,
  type Settings,
  settingNames,
  settingsSchema,
} from '../protocol/settings.ts';

type Values = Readonly<Record<string, unknown>>;

export interface Decided {
  /** What was taken from desired states; it is kept on the disk. */
  readonly taken: Settings;
  readonly report: readonly ReportedSetting[];
}

/** @param taken what is in force of earlier desired states @param flags what the command line says */
export function decideSettings(wanted: Values, taken: Settings, flags: Settings): Decided {
  const next: Record<string, unknown> = {};
  const report = Object.entries(wanted)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]): ReportedSetting => {
      if (!isSetting(name))
        return { name, state: 'unknown', error: `this node knows ${settingNames.join(', ')}; update it for more` };
      const read = settingsSchema.shape[name].safeParse(value);
      const kept = read.success ? read.data : taken[name];
      if (kept !== undefined) next[name] = kept;
      const inForce = flags[name] ?? kept;
      const told = inForce === undefined ? { name } : { name, value: inForce };
      if (!read.success) return { ...told, state: 'failed', error: problemOf(name, read.error.issues[0]) };
      return { ...told, state: flags[name] === undefined ? 'applied' : 'overridden' };
    });
  return { taken: next, report };
}

function isSetting(name: string): name is SettingName {
  return (settingNames as readonly string[]).includes(name);
}

function problemOf(name: string, issue: { path: PropertyKey[]; message: string } | undefined): string {
  return `${[name, ...(issue?.path ?? [])].map(String).join('.')}: ${issue?.message}; the value before stays in force`;
}

export interface SettingsPorts {
  readonly flags: Settings;
  /** Takes what is in force; returns the names of those that wait for the next start of the process. */
  apply(settings: Settings): ReadonlySet<SettingName>;
  /** On the disk when it returns. */
  save(taken: Settings): void;
}

export class NodeSettings {
  readonly #ports: SettingsPorts;
  #taken: Settings;
  #report: readonly ReportedSetting[] = [];
  #wanted = '';
  #waiting: ReadonlySet<SettingName>;

  /** @param kept as `save` was given it last, perhaps by another version of the program: it is in force at once */
  constructor(ports: SettingsPorts, kept: Values) {
    this.#ports = ports;
    this.#taken = decideSettings(kept, {}, {}).taken;
    this.#waiting = ports.apply(this.#inForce());
  }

  /** Takes what a desired state asks for; the same again changes nothing. */
  want(wanted: Values = {}): void {
    const text = JSON.stringify(wanted);
    if (text === this.#wanted) return;
    this.#wanted = text;
    const { taken, report } = decideSettings(wanted, this.#taken, this.#ports.flags);
    const isOther = JSON.stringify(taken) !== JSON.stringify(this.#taken);
    this.#taken = taken;
    this.#report = report;
    if (!isOther) return;
    this.#ports.save(taken);
    this.#waiting = this.#ports.apply(this.#inForce());
  }

  #inForce(): Settings {
    const { flags } = this.#ports;
    return Object.fromEntries(settingNames.map((name) => [name, flags[name] ?? this.#taken[name]]));
  }

  describe(): ReportedSetting[] {
    return this.#report.map((one) =>
      one.state === 'applied' && this.#waiting.has(one.name as SettingName) ? { ...one, state: 'waiting' } : one,
    );
  }
}
