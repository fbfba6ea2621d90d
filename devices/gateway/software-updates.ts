/** Runs the machine of runtime/node/software.ts: fetches and installs versions of the node's program, and speaks with the launcher. */

import {
  describeSoftware,
  initialSoftware,
  type Launched,
  type Ready,
  type SoftwareEffect,
  type SoftwareEvent,
  type SoftwareState,
  step,
} from '../../runtime/node/software.ts';
import type { ReportedState } from '../../runtime/protocol/messages.ts';
import type { Software } from '../../runtime/protocol/software.ts';
import { Refused } from '../../runtime/store/download.ts';
import { type SoftwareStore, UnfitSoftware } from '../../runtime/store/software.ts';

/** The launcher that has started this process. */
export interface LauncherPort {
  readonly launched: Launched;
  /** Versions that it may start again, which stay on the disk. */
  readonly kept: readonly string[];
  proved(): void;
  notYet(reason: string): void;
  /** Ends this process in good order; the launcher starts the version then. @param program null: the one that the machine came with */
  switchTo(program: string | null): void;
}

export interface UpdatePorts {
  readonly launcher: LauncherPort;
  openStore(): Promise<SoftwareStore>;
  readonly now: () => number;
  /** What is ready, and what is wanted at all, by kind and name. */
  items(): { readonly ready: Ready; readonly wanted: Ready };
  readonly held: () => string | null;
  readonly connected: () => boolean;
  /** What was ready before the switch; on the disk when it returns. */
  saveReady(ready: Ready): void;
  reportChanged(): void;
  log(message: string, error?: Error): void;
}

/** What of a node is ready, and what it is to have at all. */
export function itemsOf({
  models,
  triggers,
}: Pick<ReportedState, 'models' | 'triggers'>): ReturnType<UpdatePorts['items']> {
  const all = [
    ...models.map(({ name, state }) => ({ item: `model ${name}`, state })),
    ...triggers.map(({ name, state }) => ({ item: `trigger ${name}`, state })),
  ];
  const ready = all.filter(({ state }) => state === 'ready');
  return { ready: ready.map(({ item }) => item), wanted: all.map(({ item }) => item) };
}

export class SoftwareUpdates {
  readonly #ports: UpdatePorts;
  #state: SoftwareState;
  /** Base URL of blobs, of the desired state that names the version. */
  #files = '';
  #store: Promise<SoftwareStore> | undefined;
  readonly #stop = new AbortController();

  /** @param readyBefore as `saveReady` was given it last */
  constructor(ports: UpdatePorts, readyBefore: Ready) {
    this.#ports = ports;
    this.#state = initialSoftware(ports.launcher.launched, readyBefore);
  }

  want(software: Software | undefined, files: string): void {
    this.#files = files;
    this.#send({ type: 'wanted', software });
  }

  /** Call every second. */
  tick(): void {
    const { connected, held, items } = this.#ports;
    const { ready, wanted } = items();
    this.#send({ type: 'tick', hold: held(), connected: connected(), ready, wantedItems: wanted });
  }

  describe(): ReturnType<typeof describeSoftware> {
    return describeSoftware(this.#state);
  }

  close(): void {
    this.#stop.abort();
  }

  #send(event: SoftwareEvent): void {
    if (this.#stop.signal.aborted) return;
    const { state, effects } = step(this.#state, event, this.#ports.now());
    this.#state = state;
    for (const effect of effects) this.#carryOut(effect);
  }

  #carryOut(effect: SoftwareEffect): void {
    const { launcher, saveReady, reportChanged, log } = this.#ports;
    switch (effect.type) {
      case 'fetch':
        void this.#fetch(effect.software);
        break;
      case 'switch':
        log(`this node goes on as version ${effect.software.version} of its program`);
        saveReady(effect.ready);
        // The report that says so is to be out first.
        setTimeout(() => launcher.switchTo(effect.software.sha256 ?? null), 0);
        break;
      case 'proved':
        log('this version of the program has proved itself');
        launcher.proved();
        break;
      case 'notYet':
        launcher.notYet(effect.reason);
        break;
      case 'report':
        reportChanged();
    }
  }

  async #fetch({ version, sha256, bytes }: Software): Promise<void> {
    const { launcher, openStore } = this.#ports;
    try {
      if (sha256 !== undefined) {
        this.#store ??= openStore();
        const wanted = { files: this.#files, version, sha256, bytes, nodeVersion: process.versions.node };
        await (await this.#store).install({ ...wanted, kept: launcher.kept }, this.#stop.signal);
      }
      this.#send({ type: 'installed', sha256 });
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      this.#ports.log(`version ${version} of the program could not be installed`, error as Error);
      const [isFinal, isRefused] = [error instanceof UnfitSoftware, error instanceof Refused];
      this.#send({ type: 'fetchFailed', sha256, error: (error as Error).message, isFinal, isRefused });
    }
  }
}
