/** Runs the machine of runtime/node/software.ts: fetches and installs versions of the node's program, and speaks with the launcher. */

import {
  describeSoftware,
  type Items,
  initialSoftware,
  type Launched,
  type Ready,
  type SoftwareEffect,
  type SoftwareEvent,
  type SoftwareState,
  step,
} from '../../runtime/node/software.ts';
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
  /**
   * Resolves when the launcher has noted the version; then this process ends in good order. Rejects when it cannot be noted: all goes on.
   * @param program null: the one that the machine came with
   */
  switchTo(program: string | null): Promise<void>;
}

export interface UpdatePorts {
  readonly launcher: LauncherPort;
  openStore(): Promise<SoftwareStore>;
  readonly now: () => number;
  items(): Items;
  readonly held: () => string | null;
  readonly connected: () => boolean;
  /** What was ready before the switch; on the disk when it returns. */
  saveReady(ready: Ready): void;
  reportChanged(): void;
  proved(): void;
  log(message: string, error?: Error): void;
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
    this.#send({ type: 'tick', hold: held(), connected: connected(), items: items() });
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
    const { launcher, reportChanged } = this.#ports;
    switch (effect.type) {
      case 'fetch':
        void this.#fetch(effect.software);
        break;
      case 'switch':
        void this.#switch(effect);
        break;
      case 'proved':
        this.#ports.log('this version of the program has proved itself');
        launcher.proved();
        this.#ports.proved();
        break;
      case 'notYet':
        launcher.notYet(effect.reason);
        break;
      case 'report':
        reportChanged();
    }
  }

  /** A disk that is full keeps the node from changing, not from serving. */
  async #switch({ software, ready }: SoftwareEffect & { type: 'switch' }): Promise<void> {
    const { launcher, saveReady, log } = this.#ports;
    try {
      saveReady(ready);
      await launcher.switchTo(software.sha256 ?? null);
      log(`this node goes on as version ${software.version} of its program`);
    } catch (error) {
      log(`this node cannot go on as version ${software.version} of its program yet`, error as Error);
      this.#send({ type: 'switchFailed', error: (error as Error).message });
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
