/** What a test file's output and exit code prove. */
export interface Verdict {
  readonly passed: number;
  readonly failed: number;
  /** The `skipped: …` lines. */
  readonly skips: readonly string[];
  /** Why the file counts as failed; absent when it passed. */
  readonly problem?: string;
  readonly output: string;
}

const sum = (output: string, label: string) =>
  [...output.matchAll(new RegExp(`^\\s*${label}:\\s+(\\d+)`, 'gm'))].reduce(
    (total, match) => total + Number(match[1]),
    0,
  );

export function judge(output: string, exitCode: number | null): Verdict {
  const total = sum(output, 'Total');
  const passed = sum(output, 'Passed');
  const skips = output.split('\n').filter((line) => line.startsWith('skipped: '));
  const problem = findProblem({ exitCode, total, passed, left: sum(output, 'Skipped'), skips: skips.length });
  return { passed, failed: problem ? Math.max(1, total - passed) : 0, skips, output, ...(problem ? { problem } : {}) };
}

function findProblem(seen: { exitCode: number | null; total: number; passed: number; left: number; skips: number }) {
  if (seen.exitCode === null) return 'did not end in time, or was killed';
  if (seen.exitCode !== 0) return `exit code ${seen.exitCode}`;
  if (seen.left > 0)
    return `${seen.left} tests left out by .only or .skip: expected every test to run, or a "skipped: …" line`;
  if (seen.passed !== seen.total) return `${seen.total - seen.passed} of ${seen.total} tests failed`;
  if (seen.total === 0 && seen.skips === 0)
    return 'ran no test: is the file empty, does it call test.run(), did a promise never settle?';
  return undefined;
}
