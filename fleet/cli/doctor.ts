/** What works on this machine, found out by trying it. */
import { readFileSync, statfsSync } from 'node:fs';
import { findPackageJSON } from 'node:module';
import { availableParallelism, freemem, totalmem } from 'node:os';
import type { Style } from '../commands/command.ts';

export interface Check {
  readonly name: string;
  /** `missing`: something optional is not there. */
  readonly state: 'ok' | 'missing' | 'failed';
  readonly detail: string;
  /** What to do about it. */
  readonly advice?: string;
}

const NODE_WANTED = [24, 20] as const;
const ANSWER_MS = 2_000;
const FREE_BYTES_WANTED = 500e6;

export async function examine(controllerUrl: string, style: Style): Promise<{ checks: Check[]; text: string }> {
  const checks = [
    checkNode(),
    checkMachine(),
    checkDisk(),
    await checkKernels(),
    checkPackage('onnxruntime-web', 'runs models that our own kernels lack operators for'),
    checkPackage('onnxruntime-node', 'models on a GPU and as a peer in benchmarks'),
    await checkGpu(),
    await checkController(controllerUrl),
  ];
  const colours = { ok: style.good('ok'), missing: style.dim('missing'), failed: style.bad('failed') };
  const rows = checks.map(({ name, state, detail, advice }) => [
    name,
    colours[state],
    advice ? `${detail}\n${style.dim(advice)}` : detail,
  ]);
  return { checks, text: style.table(['', '', ''], rows) };
}

function checkNode(): Check {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const fits = major > NODE_WANTED[0] || (major === NODE_WANTED[0] && minor >= NODE_WANTED[1]);
  const detail = `${process.versions.node}, V8 ${process.versions.v8}`;
  if (fits) return { name: 'Node.js', state: 'ok', detail };
  return {
    name: 'Node.js',
    state: 'failed',
    detail,
    advice: `Node ${NODE_WANTED.join('.')} or later is needed; npm ci brings one`,
  };
}

function checkMachine(): Check {
  const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(1)} GB`;
  const detail = `${process.platform} ${process.arch}, ${availableParallelism()} cores, ${gigabytes(freemem())} of ${gigabytes(totalmem())} free`;
  return { name: 'machine', state: 'ok', detail };
}

function checkDisk(): Check {
  const { bavail, bsize } = statfsSync('.');
  const detail = `${((bavail * bsize) / 1e9).toFixed(1)} GB free in this folder`;
  if (bavail * bsize >= FREE_BYTES_WANTED) return { name: 'disk', state: 'ok', detail };
  return { name: 'disk', state: 'failed', detail, advice: 'models and queues need room: free at least 500 MB' };
}

async function checkKernels(): Promise<Check> {
  try {
    // Anew: what an earlier start kept says nothing of today.
    const { chooseBuild } = await import('../../runtime/engine/choose-build.ts');
    const { build, notes, mismatches } = chooseBuild();
    const width = build === 'revectorized' ? '256-bit' : '128-bit';
    const detail = [`${build} build, ${width} SIMD, self-test passed`, ...notes].join('\n');
    if (mismatches.length === 0) return { name: 'kernels', state: 'ok', detail };
    const advice = 'this machine computes wrongly with the faster build; the next one is used: please report it';
    return { name: 'kernels', state: 'failed', detail, advice };
  } catch (error) {
    return { name: 'kernels', state: 'failed', detail: (error as Error).message, advice: '"npm run build" makes them' };
  }
}

function checkPackage(name: string, use: string): Check {
  // The name is looked at because an alias may stand in for a package that another one asks for (package.json, overrides).
  const file = findInstalled(name);
  const { name: found, version } = file ? JSON.parse(readFileSync(file, 'utf8')) : {};
  if (found === name) return { name, state: 'ok', detail: `${version}: ${use}` };
  return { name, state: 'missing', detail: `optional: ${use}`, advice: `npm install ${name}` };
}

function findInstalled(name: string): string | undefined {
  try {
    return findPackageJSON(name, import.meta.url);
  } catch {
    return undefined;
  }
}

async function checkGpu(): Promise<Check> {
  const { probeGpu } = await import('../../runtime/offload/probe.ts');
  const { usable, detail } = await probeGpu();
  return { name: 'GPU', state: usable ? 'ok' : 'missing', detail };
}

async function checkController(url: string): Promise<Check> {
  const response = await fetch(`${url}/healthz`, { signal: AbortSignal.timeout(ANSWER_MS) }).catch(() => undefined);
  if (response?.ok) return { name: 'controller', state: 'ok', detail: `answers at ${url}` };
  return {
    name: 'controller',
    state: 'missing',
    detail: `none at ${url}`,
    advice: '"llmasos up" starts one, --controller URL names another',
  };
}
