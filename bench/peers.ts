/**
 * Engines that we measure ourselves against and that the product does not need: packages of their own, in bench/peers, installed when a
 * benchmark first asks for them. Without install scripts: onnxruntime-node's would download a GPU library of hundreds of megabytes.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('./peers/', import.meta.url));

/** `require` of the packages in bench/peers. */
export const requirePeer = createRequire(new URL('./peers/package.json', import.meta.url));

/** npm writes this record last: there is none after an installation that was interrupted. */
export function peersInstalled(): boolean {
  return existsSync(`${folder}node_modules/.package-lock.json`);
}

/** Path of a file of an installed peer, whatever the package's `exports` say. */
export function peerFile(path: string): string {
  return `${folder}node_modules/${path}`;
}

/** Installs the exact versions of bench/peers/package-lock.json. Throws when npm fails. */
export function installPeers(): void {
  if (peersInstalled()) return;
  console.error('Installing the peers of the benchmark (once; npm ci in bench/peers) …');
  const windows = process.platform === 'win32';
  // nsfwjs asks for the whole of TensorFlow.js beside it; its weights are all that is used here.
  const flags = ['ci', '--ignore-scripts', '--legacy-peer-deps', '--no-audit', '--no-fund', '--loglevel=error'];
  const { status } = spawnSync(windows ? 'npm.cmd' : 'npm', flags, { cwd: folder, stdio: 'inherit', shell: windows });
  if (status !== 0)
    throw new Error('bench/peers: npm ci failed (its message is above); the npm registry must be reachable');
}
