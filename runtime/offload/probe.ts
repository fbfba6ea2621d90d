/**
 * Is there a GPU that is worth using? Drivers and library lists lie (a Vulkan driver may be installed and refuse to
 * work, or be software), so the only proof is a computation: right, and faster than the CPU.
 */
import { fork } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { workerUrl } from '../engine/worker-url.ts';
import type { ProbeReport } from './probe-worker.ts';

export interface GpuProbe {
  readonly usable: boolean;
  /** Why, in one sentence for people. */
  readonly detail: string;
}

/** A software GPU takes seconds for what a real one does in milliseconds; loading the driver may take some. */
const PROBE_MS_MAX = 20_000;
/** Relative to the largest value; WebGPU's matrix products differ by rounding only (measured 3e-6). */
const DIFFERENCE_MAX = 1e-4;

/** Device files of GPUs on Linux. Their absence saves the computation; their presence proves nothing. */
function gpuDevices(): string[] {
  const named = ['/dev/nvidiactl', '/dev/dxg'].filter((path) => existsSync(path));
  let render: string[] = [];
  try {
    render = readdirSync('/dev/dri').filter((name) => name.startsWith('renderD'));
  } catch {
    // Not there, or not for us.
  }
  return [...named, ...render.map((name) => `/dev/dri/${name}`)];
}

/** Tries the GPU through onnxruntime-node, which is an optional package. Never rejects. */
export async function probeGpu(): Promise<GpuProbe> {
  const devices = gpuDevices();
  if (process.platform === 'linux' && devices.length === 0) {
    return { usable: false, detail: 'no GPU device on this machine (/dev/dri, /dev/nvidiactl, /dev/dxg)' };
  }
  const where = devices.length > 0 ? devices.join(', ') : process.platform;
  return judge(await report(), where);
}

export function judge(report: ProbeReport, where: string): GpuProbe {
  if (report.kind === 'missing') {
    return {
      usable: false,
      detail: `a GPU may be here (${where}), but the package onnxruntime-node is not: npm install onnxruntime-node`,
    };
  }
  if (report.kind === 'failed')
    return { usable: false, detail: `the GPU (${where}) cannot be used: ${report.message}` };
  const { gpuMs, cpuMs, difference } = report;
  const times = `${gpuMs.toFixed(1)} ms on the GPU, ${cpuMs.toFixed(1)} ms on the CPU`;
  if (!(difference <= DIFFERENCE_MAX)) {
    return {
      usable: false,
      detail: `the GPU (${where}) computes wrongly: a matrix product is off by ${difference.toExponential(1)}`,
    };
  }
  if (gpuMs >= cpuMs)
    return { usable: false, detail: `the GPU (${where}) is slower than the CPU (${times}); it may be software` };
  return { usable: true, detail: `WebGPU through onnxruntime-node on ${where}: a matrix product takes ${times}` };
}

/** In a process of its own: a broken driver may take its process down. */
function report(): Promise<ProbeReport> {
  return new Promise((resolve) => {
    const child = fork(workerUrl('probe-worker', import.meta.url), {
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      execArgv: [],
    });
    const fail = (message: string): void => resolve({ kind: 'failed', message });
    const timer = setTimeout(() => {
      fail(`no answer within ${PROBE_MS_MAX / 1000} s`);
      child.kill('SIGKILL');
    }, PROBE_MS_MAX);
    child.on('message', (message) => resolve(message as ProbeReport));
    child.on('error', (error) => fail(error.message));
    child.on('exit', (code, signal) => {
      clearTimeout(timer);
      fail(`the driver took its process down (${signal ?? `code ${code}`})`);
    });
  });
}
