// Makes a fresh clone ready: installs what is missing, builds what is out of date. Plain JavaScript, since it must run on
// the Node (20 or later) that the machine happens to have; everything after it runs on the Node that `npm ci` brings.
import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
/** npm writes both files at the end of an installation, in any order. */
const SLACK_MS = 5_000;
const NODE_WANTED = [24, 20];

/** Installs and builds where needed. Returns the path of a Node that can run the project. */
export async function prepare() {
  install();
  const node = findNode();
  const { buildKernels } = await import('./build-kernels.mjs');
  await buildKernels();
  return node;
}

function install() {
  const changed = statSync(`${root}package-lock.json`).mtimeMs;
  // npm's own record of what is installed, written last: there is none after an installation that was interrupted.
  const installed = statSync(`${root}node_modules/.package-lock.json`, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  if (installed + SLACK_MS >= changed) return;
  console.error('Installing packages (once; npm ci) …');
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
  // What npm says is no part of what the command prints, which may go into a file.
  const options = { cwd: root, stdio: ['inherit', 2, 2], shell: process.platform === 'win32' };
  const { status } = spawnSync(npm, ['ci', '--no-audit', '--no-fund', '--loglevel=error'], options);
  if (status !== 0)
    fail('npm ci failed (its message is above); the npm registry must be reachable for the first start');
}

function findNode() {
  const name = process.platform === 'win32' ? 'node.exe' : 'node';
  const packaged = `${root}node_modules/node-${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}/bin/${name}`;
  if (existsSync(packaged)) return packaged;
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > NODE_WANTED[0] || (major === NODE_WANTED[0] && minor >= NODE_WANTED[1])) return process.execPath;
  return fail(
    `no packaged Node for ${process.platform}-${process.arch}: expected Node ${NODE_WANTED.join('.')} or later, got ${process.versions.node}; install a newer Node`,
  );
}

function fail(message) {
  console.error(`llmasos: ${message}`);
  process.exit(1);
}
