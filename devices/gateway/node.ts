/** Starts a node: checks the options, takes the data folder, reads what is on disk (gateway-node.ts wires the rest). */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { parseBrokerAddress } from '../../runtime/node/broker-stream-io.ts';
import type { Kept } from '../../runtime/node/converge.ts';
import { checkDesired } from '../../runtime/node/desired.ts';
import type { CheckedDesired } from '../../runtime/node/node-state.ts';
import type { Proofs } from '../../runtime/node/proof.ts';
import { nameSchema } from '../../runtime/protocol/messages.ts';
import { openBlobs } from '../../runtime/store/blobs.ts';
import { lockFolder } from '../../runtime/store/lock.ts';
import { openState, type State } from '../../runtime/store/state.ts';
import { GatewayNode, type NodeOptions } from './gateway-node.ts';
import { readLocal } from './local.ts';

export type { NodeOptions } from './gateway-node.ts';

export interface RunningNode {
  /** Says goodbye, writes what waits and lets go of everything. */
  close(): Promise<void>;
}

/** Resolves when the node works; the broker need not be there. Rejects when the options or the data folder are no good. */
export async function startNode(options: NodeOptions): Promise<RunningNode> {
  const { name, data, log } = options;
  if (!nameSchema.safeParse(name).success)
    throw new Error(`node name "${name}": expected letters, digits, _ and - only, 1 to 64 of them`);
  parseBrokerAddress(options.broker);
  await mkdir(data, { recursive: true });
  const releases = [lockFolder(data, 'node')];
  const release = (): void => {
    for (const each of releases.splice(0).reverse()) each();
  };
  try {
    const state = openState(join(data, 'state.db'));
    releases.push(state.close);
    const blobs = await openBlobs(join(data, 'blobs'));
    const local = await readLocal(options, blobs, (error) => log.error({ err: error }, 'a local file was left out'));
    const node = new GatewayNode(options, state, blobs);
    await node.start(readKept(state, name, log), local);
    let closing: Promise<void> | undefined;
    const close = (): Promise<void> => {
      closing ??= node.close().finally(release);
      return closing;
    };
    return { close };
  } catch (error) {
    release();
    throw error;
  }
}

function readKept(state: State, name: string, log: Logger): Kept {
  // Written by this program, or by an earlier one that had none.
  const proofs: Proofs = new Map((state.get('proofs') as [string, never][] | undefined) ?? []);
  return { desired: readDesired(state, name, log), proofs, hold: (state.get('hold') as string | undefined) ?? null };
}

function readDesired(state: State, name: string, log: Logger): CheckedDesired | null {
  const kept = state.get('desired');
  if (kept === undefined) return null;
  try {
    return checkDesired(`node ${name}, kept desired state`, new TextEncoder().encode(JSON.stringify(kept)));
  } catch (error) {
    log.error({ err: error }, 'the kept desired state cannot be read; waiting for the controller');
    return null;
  }
}
