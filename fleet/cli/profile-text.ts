/** A profile as tables for people. */
import type { OperatorTime, ProfileReport } from '../../runtime/engine/profile-report.ts';
import type { Style } from '../commands/command.ts';
import { bytesText } from '../commands/text.ts';

/** --json has all. */
const OPERATORS_SHOWN = 30;

const percent = (share: number): string => `${(share * 100).toFixed(1)}%`;
const speed = (gflops: number | undefined): string => (gflops === undefined ? '' : gflops.toFixed(1));

function rowOf({ node, operator, count, ...rest }: OperatorTime): string[] {
  const { operation, algorithm, ms, share, gflops, ofPeak, bytes } = rest;
  return [
    count > 1 ? `${node} (${count} times)` : node,
    operator,
    operation,
    algorithm,
    ms.toFixed(3),
    percent(share),
    speed(gflops),
    ofPeak === undefined ? '' : percent(ofPeak),
    bytes > 0 ? bytesText(bytes) : '',
  ];
}

export function profileText(report: ProfileReport, style: Style): string {
  const { operators, totals, bestMs, sumMs, copiesMs, firstMs, peakGflops, build, passes } = report;
  const shown = operators.slice(0, OPERATORS_SHOWN);
  const header = ['node', 'operator', 'kernel operation', 'algorithm', 'ms', 'share', 'GFLOP/s', 'of peak', 'bytes'];
  const rest = operators.slice(OPERATORS_SHOWN).reduce((sum, each) => sum + each.ms, 0);
  return [
    style.bold(
      `${report.model}: ${sumMs.toFixed(3)} ms on one thread, each operator at its quickest of ${passes} runs; the quickest run ${bestMs.toFixed(3)} ms`,
    ),
    style.table(header, shown.map(rowOf)),
    ...(operators.length > shown.length
      ? [style.dim(`${operators.length - shown.length} more take ${rest.toFixed(3)} ms; --json has them all`)]
      : []),
    style.table(
      ['operator', 'number', 'ms', 'share', 'GFLOP/s', 'of peak'],
      [
        ...totals.map((total) => [
          total.operator || 'none of the file',
          String(total.count),
          total.ms.toFixed(3),
          percent(total.share),
          speed(total.gflops),
          total.ofPeak === undefined ? '' : percent(total.ofPeak),
        ]),
        ['copies of inputs and outputs', '', copiesMs.toFixed(3), percent(sumMs > 0 ? copiesMs / sumMs : 0), '', ''],
      ],
    ),
    style.dim(
      `${build} kernels, peak ${peakGflops.toFixed(0)} GFLOP/s (a matrix product, just now); operations are counted by the definition, ` +
        `so Winograd's may exceed it\nthe first run, with compilation, ${firstMs.toFixed(1)} ms; arena ${bytesText(report.arenaBytes)}, ` +
        `packed weights ${bytesText(report.weightBytes)}`,
    ),
  ].join('\n\n');
}
