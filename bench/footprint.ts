/**
 * What a node takes: the size of its bundle, and the resident memory of the node that runs from it, idle and with the
 * voice detector ready to answer, as the kernel counts it. The bundle is built into a folder without node_modules.
 * Linux only.
 *
 *   npm run footprint [-- --settle SECONDS --json]
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { extname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createStyle, wantsColour } from '../fleet/cli/style.ts';
import { createProcesses, machine, type NodeFlags, vadFolders } from './processes.ts';

const AIM = { bundleBytes: 3e6, idleBytes: 90e6 };
const buildScript = fileURLToPath(new URL('../scripts/build.mjs', import.meta.url));

const { values } = parseArgs({
  options: { settle: { type: 'string', default: '10' }, json: { type: 'boolean', default: false } },
});

interface Memory {
  /** Resident in all, and the part of it that no other process can share. */
  readonly residentBytes: number;
  readonly anonymousBytes: number;
}

/** proc(5), /proc/pid/status: "VmRSS: 12345 kB". */
function memoryOf(pid: number): Memory {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const bytes = (field: string): number => Number(new RegExp(`^${field}:\\s*(\\d+) kB`, 'm').exec(status)?.[1]) * 1024;
  return { residentBytes: bytes('VmRSS'), anonymousBytes: bytes('RssAnon') };
}

function bytesByKind(folder: string): Record<string, number> {
  const kinds: Record<string, number> = {};
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const kind = extname(entry.name);
    kinds[kind] = (kinds[kind] ?? 0) + statSync(join(entry.parentPath, entry.name)).size;
  }
  return kinds;
}

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(2)} MB`;
const processes = createProcesses();
try {
  const bundle = processes.folder();
  execFileSync(process.execPath, [buildScript, bundle], { stdio: ['ignore', 'ignore', 'pipe'] });
  const kinds = bytesByKind(bundle);
  const bundleBytes = Object.values(kinds).reduce((sum, bytes) => sum + bytes, 0);
  const { message } = await processes.start('broker.ts', []);
  const broker = (message as { url: string }).url;
  const settled = async (flags: NodeFlags): Promise<Memory> => {
    const node = await processes.startNode(join(bundle, 'main.js'), flags);
    await sleep(Number(values.settle) * 1000);
    const memory = memoryOf(node.pid as number);
    await processes.stop(node);
    return memory;
  };
  const idle = await settled({ name: 'idle', broker });
  const ready = await settled({ name: 'ready', broker, ...vadFolders(processes.folder(), 0) });

  const style = createStyle(wantsColour(process.env, process.stdout.isTTY));
  const size = Object.entries(kinds).map(([kind, bytes]) => `${megabytes(bytes)} ${kind}`);
  const resident = ({ residentBytes, anonymousBytes }: Memory): string =>
    `${megabytes(residentBytes)} (${megabytes(anonymousBytes)} of its own)`;
  console.log(
    style.table(
      ['', '', 'aim'],
      [
        ['bundle of a node', `${megabytes(bundleBytes)} (${size.join(', ')})`, `≤ ${megabytes(AIM.bundleBytes)}`],
        ['resident, connected and idle', resident(idle), `≤ ${megabytes(AIM.idleBytes)}`],
        ['resident, voice detector ready', resident(ready), ''],
      ],
    ),
  );
  console.log(machine());
  if (values.json) {
    const at = new Date().toISOString();
    console.log(JSON.stringify({ bench: 'footprint', at, machine: machine(), bundleBytes, kinds, idle, ready }));
  }
} finally {
  await processes.stopAll();
}
