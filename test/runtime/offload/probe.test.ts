import { fork } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { judge, probeGpu } from '../../../runtime/offload/probe.ts';

test('the probe answers on every machine, with a reason', async () => {
  const { usable, detail } = await probeGpu();
  assert.type(usable, 'boolean');
  assert.match(detail, /GPU/);
});

test('a GPU is usable only when it computes rightly and faster than the CPU', () => {
  const measured = (gpuMs: number, cpuMs: number, difference: number) =>
    judge({ kind: 'measured', gpuMs, cpuMs, difference }, '/dev/dri/renderD128');
  assert.ok(measured(1, 20, 3e-6).usable);
  assert.match(
    measured(1820, 15.6, 2.9e-6).detail,
    /slower than the CPU \(1820\.0 ms on the GPU, 15\.6 ms on the CPU\); it may be software/,
  );
  assert.match(measured(1, 20, 0.02).detail, /computes wrongly: a matrix product is off by 2\.0e-2/);
  assert.not.ok(measured(1, 20, Number.NaN).usable);
  assert.match(judge({ kind: 'missing' }, 'x').detail, /npm install onnxruntime-node/);
  assert.match(
    judge({ kind: 'failed', message: 'No supported adapters' }, 'x').detail,
    /cannot be used: No supported adapters/,
  );
});

test('the probing process reports what is missing instead of failing', async () => {
  const child = fork(new URL('../../../runtime/offload/probe-worker.ts', import.meta.url), {
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  const [report] = await once(child, 'message');
  assert.ok(['missing', 'failed', 'measured'].includes(report.kind));
});

test.run();
