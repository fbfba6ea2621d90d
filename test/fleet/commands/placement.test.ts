/** The placement commands as a person runs them: on a file, and on a fleet that has triggers which leave the choice of nodes open. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ControllerClient } from '../../../fleet/api/client.ts';
import { type Command, parseArguments, type Style } from '../../../fleet/commands/command.ts';
import { commands } from '../../../fleet/commands/index.ts';
import { startController } from '../../../fleet/controller/controller.ts';
import { chunks, eventually, hashOf, modelBytes, ProtocolNode, refusalOf, temporary, trigger } from '../fleet-parts.ts';

const controller = await startController({ data: temporary(), mqttPort: 0, webSocketPort: 0, httpPort: 0 });
const service = new ControllerClient(controller.httpUrl);
const nodes = await Promise.all(
  ['a', 'b', 'c'].map((name) =>
    ProtocolNode.join(controller.mqttUrl, name, { site: name === 'c' ? 'south' : 'north' }),
  ),
);
await eventually(
  'the nodes are registered',
  async () => (await service.nodes()).every(({ reported }) => reported) && (await service.nodes()).length === 3,
);

test.after(async () => {
  for (const node of nodes) await node.leave();
  await controller.close();
});

const folder = temporary();
function file(name: string, content: string): string {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
}

const plain: Style = {
  good: (text) => text,
  bad: (text) => text,
  dim: (text) => text,
  bold: (text) => text,
  table: (header, rows) => [header, ...rows].map((row) => row.join(' | ')).join('\n'),
};

async function run(words: string, typed: object = {}): Promise<{ result: unknown; text: string }> {
  const command = commands.find(({ name }) => name.join(' ') === words) as Command;
  const context = { controller: service, signal: new AbortController().signal, emit: () => {} };
  const ready = command.local
    ? await command.local.prepare(parseArguments(command, command.local.arguments, typed), context)
    : typed;
  const result = await command.run(parseArguments(command, command.arguments, ready), context);
  return { result, text: command.render(result, plain) };
}

const plan = file(
  'plan.yaml',
  `
nodes:
  - { name: small, count: 2, cores: 2, memoryBytes: 1e9, zone: yard }
  - { name: large, cores: 8, speed: 2, memoryBytes: 4e9, zone: office, gpus: 1, price: 3, labels: { floor: "1" } }
items:
  - { name: gate, ratePerS: 30, workMs: 20, units: 6, deadlineMs: 500, memoryBytes: 2e8, data: { zone: yard, bytesPerRequest: 50000 } }
  - { name: report, ratePerS: 2, workMs: 200, priority: background, memoryBytes: 1e8 }
  - { name: vision, ratePerS: 10, workMs: 10, accelerator: gpu, deadlineMs: 200 }
links:
  - { between: [yard, office], latencyMs: 5, costPerGB: 20 }
`,
);

test('a file is placed with the proof that no placement is better', async () => {
  const { text } = await run('placement show', { problem: plan });
  assert.match(text, /^gate \| 6 \| small-/m);
  assert.match(text, /^vision \| 1 \| large$/m);
  assert.match(text, /^everything is served; cost \d+\.\d+ busy cores, the best there is, by the integer program$/m);
});

test('an item is explained: what excludes each kind of node, the scores, what would change it', async () => {
  const vision = (await run('placement explain', { item: 'vision', problem: plan })).text;
  assert.match(vision, /^vision: 1 units served, best on large; the whole placement is at most 0\.00% above the best/);
  assert.match(vision, /^small-1 and 1 alike \| .*it needs a GPU, this has none$/m);
  const gate = (await run('placement explain', { item: 'gate', problem: plan })).text;
  assert.match(gate, /^small-1 and 1 alike \| 6 \| \d\.\d{4}/m);
  assert.match(gate, /^- it would go to nodes like large if it cost \d+\.\d% more where it is$/m);
  assert.match(
    await refusalOf(run('placement explain', { item: 'door', problem: plan })),
    /there is no item "door"; there are gate, report, vision/,
  );
});

test('what if: nodes are lost and added, demand grows, and both placements are shown', async () => {
  const lost = (await run('placement what-if', { loseNode: ['large'], problem: plan })).text;
  assert.match(lost, /^vision \| 1 of 1 \| 0 of 1 \| large \| $/m);
  assert.match(lost, /^then: 1 of 3 items are not served in full/m);
  const grown = (await run('placement what-if', { demand: ['gate=×8'], addNode: ['small-1=4'], problem: plan })).text;
  assert.match(grown, /^gate \| 6 of 6 \| 48 of 48 \| .*small-1-more|^gate \| 6 of 6 \| 48 of 48/m);
  const bad: [change: object, sentence: RegExp][] = [
    [{}, /expected --add-node, --lose-node or --demand/],
    [{ loseNode: ['tiny'] }, /--lose-node tiny: there is no node "tiny"; there are small-1, small-2, large/],
    [{ addNode: ['small-1=x'] }, /--add-node small-1=x: expected NAME=COUNT/],
    [{ demand: ['much'] }, /--demand much: expected a factor, or ITEM=FACTOR/],
    [{ demand: ['door=2'] }, /--demand door=2: there is no item "door"/],
  ];
  for (const [change, sentence] of bad)
    assert.match(await refusalOf(run('placement what-if', { ...change, problem: plan })), sentence);
});

test('a file with a mistake is refused by its name and place', async () => {
  assert.match(
    await refusalOf(
      run('placement show', { problem: file('bad.yaml', 'nodes: []\nitems:\n  - { name: x, ratePerS: 1 }\n') }),
    ),
    /bad\.yaml: items\[0\] \("x"\)\.workMs: /,
  );
  assert.match(await refusalOf(run('placement show', { problem: file('torn.yaml', 'nodes: [\n') })), /torn\.yaml: /);
  assert.match(
    await refusalOf(run('placement show', { problem: join(folder, 'none.yaml') })),
    /none\.yaml: there is no such file/,
  );
});

test('a trigger with replicas goes to so many of the matching nodes, over HTTP, and says why', async () => {
  assert.match((await run('placement show')).text, /nothing to place yet/);
  await service.putBlob(hashOf(modelBytes), chunks(modelBytes));
  await service.addModel('vad', hashOf(modelBytes));
  const view = await service.putTrigger(trigger('speech', 'vad'), { labels: { site: 'north' }, replicas: 1 });
  assert.is(view.nodes.length, 1);
  const chosen = view.nodes[0]?.node as string;
  assert.ok(['a', 'b'].includes(chosen));
  const [on, off] = chosen === 'a' ? [nodes[0], nodes[1]] : [nodes[1], nodes[0]];
  await on?.hears('the trigger', ({ triggers }) => triggers.length === 1);
  assert.is(off?.newest, undefined, 'the other node hears nothing');
  const shown = (await run('placement show')).text;
  assert.match(shown, new RegExp(`^speech \\| 1 \\| [ab] \\| ${chosen}$`, 'm'));
  assert.match(shown, /^assumed: speech: 1 message a second, none was counted yet$/m);
  const explained = (await run('placement explain', { item: 'speech' })).text;
  assert.match(explained, /^c \| .*it is only for a, b$/m);
  assert.match(explained, /^decided: [ab] is the cheapest of 2 that keep all wait targets, \d+% busy with it$/m);
});

test('when the chosen node matches no more, the trigger moves, and named nodes end the choice', async () => {
  const before = (await service.triggers())[0]?.nodes[0]?.node;
  const [on, off] = before === 'a' ? [nodes[0], nodes[1]] : [nodes[1], nodes[0]];
  await on?.report({ site: 'south' }, 1);
  await off?.hears('the trigger', ({ triggers }) => triggers.length === 1);
  await on?.hears('that it has it no more', ({ triggers }) => triggers.length === 0);
  await service.putTrigger(trigger('speech', 'vad'), { nodes: ['c'] });
  await nodes[2]?.hears('the trigger', ({ triggers }) => triggers.length === 1);
  await off?.hears('that it has it no more', ({ triggers }) => triggers.length === 0);
  assert.equal((await service.placement()).decisions, {});
});

test.run();
