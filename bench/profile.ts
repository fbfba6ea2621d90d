/**
 * Where our time goes inside one case of the benchmark, as `llmasos infer FILE --profile` says it of a file.
 *   npm run profile -- CASE [--passes N --build revectorized|relaxed|plain --data DIR --trace FILE --json]
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { profileText } from '../fleet/cli/profile-text.ts';
import { createStyle, wantsColour } from '../fleet/cli/style.ts';
import type { KernelBuild } from '../runtime/engine/kernels.ts';
import { type Profile, ProfiledModel } from '../runtime/engine/profile.ts';
import { reportOf, traceOf } from '../runtime/engine/profile-report.ts';
import { modelCases } from './cases/model-cases.ts';
import { operatorCases } from './cases/operator-cases.ts';
import { machine } from './processes.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    passes: { type: 'string', default: '20' },
    build: { type: 'string' },
    data: { type: 'string' },
    trace: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});
const data = values.data ?? fileURLToPath(new URL('../../shared/data/', import.meta.url));
const cases = [...modelCases(data), ...operatorCases()];
const found = cases.find(({ name }) => name === positionals[0]);
if (!found) {
  console.error(`case "${positionals[0] ?? ''}": expected one of\n${cases.map(({ name }) => `  ${name}`).join('\n')}`);
  process.exit(1);
}
const { name, model: file, inputs } = await found.job();
const model = new ProfiledModel(typeof file === 'string' ? new Uint8Array(readFileSync(file)) : file, {
  name,
  passes: Number(values.passes),
  budgetMs: Infinity,
  build: values.build as KernelBuild | undefined,
});
await model.run(inputs);
const profile = model.profile as Profile;
const report = reportOf(profile);
const style = createStyle(wantsColour(process.env, process.stdout.isTTY));
console.log(values.json ? JSON.stringify(report, null, 2) : `${profileText(report, style)}\n\n${machine()}`);
if (values.trace !== undefined) writeFileSync(values.trace, JSON.stringify(traceOf(profile)));
