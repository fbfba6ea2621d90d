/** Versions of the node's program: each file by its content, as models are, so that nodes fetch only what is new to them. */
import { MANIFEST_BYTES_MAX, type SoftwareManifest, softwareManifestSchema } from '../../runtime/protocol/software.ts';
import { encodeManifest } from '../../runtime/store/manifest.ts';
import { readActiveRollouts } from '../rollouts/store.ts';
import type { BlobStore } from './blob-store.ts';
import type { Database } from './database.ts';
import { once } from './inputs.ts';
import { selects } from './selector.ts';
import {
  deleteSoftware,
  giveSoftware,
  insertSoftware,
  readSoftware,
  readSoftwareAssignment,
  type StoredSoftware,
} from './software-store.ts';
import { readNodes } from './store.ts';

const VERSIONS_MAX = 100;

export interface SoftwareView {
  readonly version: string;
  readonly sha256: string;
  readonly files: number;
  /** Of all files. */
  readonly bytes: number;
  /** The oldest Node.js that it runs on. */
  readonly node: string;
  readonly addedAt: number;
  /** What nodes get that nothing else is said of. */
  readonly released: boolean;
  /** Nodes that say that they run it. */
  readonly nodes: readonly string[];
}

/** Every rejection is an Error whose message is fit for the person who asked. */
export interface SoftwareAdmin {
  /** Registers files that were uploaded before (`putBlob`); no node gets it by that. The same again is the version that is there. */
  add(manifest: SoftwareManifest): Promise<SoftwareView>;
  /** Newest first. */
  list(): Promise<SoftwareView[]>;
  /** Refuses while a node is to have it. */
  remove(version: string): Promise<void>;
}

export interface SoftwarePorts {
  readonly database: Database;
  readonly blobs: BlobStore;
  readonly now: () => number;
  /** Commits the work with the desired states that follow from it, then publishes those. */
  change<T>(work: (transaction: Database) => Promise<T>): Promise<T>;
  /** One at a time with whatever else works on blobs. */
  exclusively<T>(work: () => Promise<T>): Promise<T>;
}

export class SoftwareService implements SoftwareAdmin {
  readonly #ports: SoftwarePorts;

  constructor(ports: SoftwarePorts) {
    this.#ports = ports;
  }

  add(given: SoftwareManifest): Promise<SoftwareView> {
    return this.#ports.exclusively(async () => {
      const { database, blobs, now, change } = this.#ports;
      const { version } = given;
      const files: SoftwareManifest['files'] = [];
      for (const file of given.files) files.push(await this.#takeIn(version, file));
      const manifest = softwareManifestSchema.parse({ ...given, files });
      const text = new TextEncoder().encode(JSON.stringify(manifest));
      if (text.byteLength > MANIFEST_BYTES_MAX)
        throw new Error(
          `software ${version}: its list of files takes ${text.byteLength} bytes, expected at most ${MANIFEST_BYTES_MAX}`,
        );
      const { sha256, bytes } = await blobs.put(once(text));
      await change(async (transaction) => {
        const all = await readSoftware(transaction);
        const before = all.find((one) => one.manifest.version === version);
        if (before?.sha256 === sha256) return;
        if (before)
          throw new Error(
            `software ${version}: there is one of this version with other files; give it another, with --version`,
          );
        if (all.length >= VERSIONS_MAX)
          throw new Error(`software ${version}: there are ${VERSIONS_MAX} versions, no more fit; remove one first`);
        await insertSoftware(transaction, { manifest, sha256, bytes, addedAt: now(), released: false });
      });
      const view = (await viewsOf(database)).find((one) => one.version === version);
      if (!view) throw new Error(`software ${version} was removed by somebody else meanwhile; add it again`);
      return view;
    });
  }

  list(): Promise<SoftwareView[]> {
    return viewsOf(this.#ports.database);
  }

  async hashOf(version: string): Promise<string> {
    const all = await readSoftware(this.#ports.database);
    const found = all.find(({ manifest }) => manifest.version === version);
    if (!found) throw unknownSoftware(version, all);
    return found.sha256;
  }

  /** From now on the nodes that are selected get it, until another is given to them, or to all; `also` is committed with that. */
  async give(
    selector: Parameters<typeof selects>[0],
    version: string,
    also: (transaction: Database) => Promise<void>,
  ): Promise<void> {
    await this.#ports.change(async (transaction) => {
      const active = (await readActiveRollouts(transaction)).find(({ spec }) => spec.target.kind === 'software');
      if (active)
        throw new Error(`software ${version}: "${active.id}" brings nodes another; wait for its end, or abort it`);
      const nodes = (await readNodes(transaction)).map(({ name, reported }) => ({
        name,
        labels: reported?.labels ?? {},
      }));
      await giveSoftware(
        transaction,
        nodes.filter((node) => selects(selector, node)).map(({ name }) => name),
        version,
      );
      await also(transaction);
    });
  }

  async remove(version: string): Promise<void> {
    await this.#ports.change(async (transaction) => {
      const all = await readSoftware(transaction);
      const found = all.find(({ manifest }) => manifest.version === version);
      if (!found) throw unknownSoftware(version, all);
      const { byNode } = await readSoftwareAssignment(transaction);
      const given = [...byNode].flatMap(([node, software]) => (software.version === version ? [node] : []));
      const rollout = (await readActiveRollouts(transaction)).find(
        ({ spec: { target } }) => target.kind === 'software' && target.version === version,
      );
      if (found.released) throw new Error(`software ${version} is what nodes get; roll out another version first`);
      if (rollout)
        throw new Error(`software ${version} is being rolled out by "${rollout.id}"; wait for its end, or abort it`);
      if (given.length > 0)
        throw new Error(
          `software ${version} is what ${given.slice(0, 5).join(', ')} get; give them another version first`,
        );
      await deleteSoftware(transaction, version);
    });
  }

  /** The file with the list of its chunks, where it has several. */
  async #takeIn(version: string, { path, sha256, bytes }: SoftwareManifest['files'][number]) {
    const { blobs } = this.#ports;
    const size = await blobs.size(sha256);
    if (size === undefined)
      throw new Error(
        `software ${version}: ${path} (blob ${sha256}) is not here; upload it first, with PUT /v1/blobs/${sha256}`,
      );
    if (size !== bytes) throw new Error(`software ${version}: ${path}: expected ${bytes} bytes, its blob has ${size}`);
    const list = encodeManifest(await blobs.read(sha256));
    return { path, sha256, bytes, ...(list && { chunks: (await blobs.put(once(list))).sha256 }) };
  }
}

async function viewsOf(database: Database): Promise<SoftwareView[]> {
  const nodes = await readNodes(database);
  return (await readSoftware(database)).map(({ manifest, sha256, addedAt, released }) => ({
    ...{ version: manifest.version, sha256, addedAt, released, node: manifest.node, files: manifest.files.length },
    bytes: manifest.files.reduce((sum, file) => sum + file.bytes, 0),
    nodes: nodes.flatMap(({ name, reported }) => (reported?.software?.sha256 === sha256 ? [name] : [])),
  }));
}

export function unknownSoftware(version: string, all: readonly StoredSoftware[]): Error {
  const there = all.map(({ manifest }) => manifest.version).join(', ') || 'none yet';
  return new Error(`there is no software ${version}; there are ${there}; "llmasos software add FOLDER" adds one`);
}
