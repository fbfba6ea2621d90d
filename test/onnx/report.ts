/**
 * Which of ONNX's official cases our kernels pass, alone and without a fallback, and why the others do not.
 *   npm run conformance [-- --json]
 * Needs the folder of shared data beside the checkout. The last line counts all folders of `node`, nothing left out.
 */
import { existsSync, readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { createStyle, wantsColour } from '../../fleet/cli/style.ts';
import { baselinePath, type Case, casesOf, type Suite, suites } from './cases.ts';
import { failureOf, leftOut } from './conformance.ts';

interface Result {
  readonly name: string;
  readonly suite: Suite;
  /** Why it does not pass. */
  readonly reason?: string;
  /** Why it may stay out. */
  readonly leftOut?: string;
  /** How onnxruntime-node did, where that was measured: "pass", or what went wrong. */
  readonly onnxruntime?: string;
}

/** A reason without what differs from case to case: nodes, numbers, opsets. */
function kindOf(reason: string): string {
  return reason
    .replace(/^(Unsupported)?Error: /, '')
    .replace(/^node "[^"]*" \(([\w.:]+)\),? ?:? ?/, '$1: ')
    .replace(/^node "[^"]*": /, '')
    .replace(/ in opset \d+ of [\w.]+$/, '')
    .replace(/^(input|output) "[^"]*"/, '$1')
    .replace(/^WRONG .*/, 'other numbers, types or shapes');
}

async function resultOf(each: Case, reasons: Map<string, string>, baseline: Record<string, string>): Promise<Result> {
  const { name, suite } = each;
  const reason = await failureOf(each);
  return { name, suite, reason, leftOut: reasons.get(name), onnxruntime: baseline[name] };
}

/** One row a kind of reason, the commonest first. */
function groupRows(failed: readonly Result[]): string[][] {
  const groups = Map.groupBy(failed, ({ reason, leftOut: why }) => (why ? `left out: ${why}` : kindOf(reason ?? '')));
  return [...groups]
    .sort(([, a], [, b]) => b.length - a.length)
    .map(([kind, results]) => {
      const theirs = results.filter(({ onnxruntime }) => onnxruntime === 'pass').length;
      return [String(results.length), String(theirs), kind, results[0]?.name ?? ''];
    });
}

function print(results: readonly Result[]): void {
  const style = createStyle(wantsColour(process.env, process.stdout.isTTY));
  const failed = results.filter(({ reason }) => reason !== undefined);
  if (failed.length > 0)
    console.log(style.table(['cases', 'onnxruntime passes', 'why not', 'for example'], groupRows(failed)));
  const passed = ({ suite, reason }: Result): boolean => suite !== 'node' && reason === undefined;
  for (const suite of suites.filter((each) => each !== 'node')) {
    const all = results.filter((each) => each.suite === suite);
    const out = all.filter((each) => each.leftOut).length;
    console.log(`${suite}: passed ${all.filter(passed).length} of ${all.length}${out ? `, ${out} left out` : ''}`);
  }
  const node = results.filter(({ suite }) => suite === 'node');
  const theirs = node.filter(({ onnxruntime }) => onnxruntime === 'pass').length;
  const onlyOurs = node.filter(({ reason, onnxruntime }) => reason === undefined && onnxruntime !== 'pass').length;
  const onlyTheirs = node.filter(({ reason, onnxruntime }) => reason !== undefined && onnxruntime === 'pass').length;
  console.log(`onnxruntime-node 1.30 passes ${theirs}; ${onlyOurs} pass here alone, ${onlyTheirs} there alone`);
  const own = node.filter(({ reason }) => reason === undefined).length;
  console.log(`conformance: passed ${own} of ${node.length}`);
}

const { values } = parseArgs({ options: { json: { type: 'boolean', default: false } } });
if (!existsSync(baselinePath)) throw new Error('expected the folder shared/data beside the checkout, found none');
const baseline = JSON.parse(readFileSync(baselinePath, 'utf8')) as Record<string, string>;
const reasons = leftOut();
const results: Result[] = [];
for (const each of suites.flatMap(casesOf)) results.push(await resultOf(each, reasons, baseline));
if (values.json) console.log(JSON.stringify(results, null, 2));
else print(results);
