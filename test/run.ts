/**
 * Runs every `*.test.ts` under test/ in a process of its own and believes none that did not prove it ran: uvu alone exits
 * 0 when a file is empty, never calls `.run()`, hangs on a promise or leaves `.only` behind (lukeed/uvu #60, #229).
 *
 *   npm test                  everything
 *   npm test -- controller    files whose path contains the word
 *
 * A test that cannot run here prints one line that begins with `skipped: ` and says what is missing (see requirement.ts).
 */
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { judge, type Verdict } from './verdict.ts';

const FILE_TIMEOUT_MS = 600_000;
const folder = fileURLToPath(new URL('.', import.meta.url));
const words = process.argv.slice(2);

const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.test.ts') && !name.startsWith('fixtures'))
  .filter((name) => words.length === 0 || words.some((word) => name.includes(word)))
  .sort();

const running = new Set<() => void>();
process.on('SIGINT', () => {
  for (const end of running) end();
  process.exit(130);
});

/** A test file and every process that it started and forgot: they are one group. */
function endGroup(leader: number | undefined): void {
  try {
    if (leader !== undefined) process.kill(-leader, 'SIGKILL');
  } catch {
    // All of them have ended, as they should.
  }
}

function runFile(name: string): Promise<Verdict> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [folder + name], {
      env: { ...process.env, FORCE_COLOR: '0', NO_COLOR: '1' },
      detached: true,
    });
    const end = () => endGroup(child.pid);
    const timer = setTimeout(end, FILE_TIMEOUT_MS);
    running.add(end);
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text) => (output += text));
    child.on('close', (code) => {
      clearTimeout(timer);
      running.delete(end);
      end();
      resolve(judge(output, code));
    });
  });
}

const totals = { passed: 0, failed: 0, skipped: 0 };
const queue = [...files];

async function work(): Promise<void> {
  for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
    const started = performance.now();
    const verdict = await runFile(name);
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    totals.passed += verdict.passed;
    totals.failed += verdict.failed;
    totals.skipped += verdict.skips.length;
    console.log(
      `${verdict.problem ? 'FAIL' : 'ok  '} ${relative('.', folder + name)}  ${verdict.passed} passed, ${seconds} s`,
    );
    for (const line of verdict.skips) console.log(`     ${line}`);
    if (verdict.problem) console.log(`     ${verdict.problem}\n${verdict.output.replace(/^/gm, '     | ')}`);
  }
}

await Promise.all(Array.from({ length: Math.min(2, availableParallelism()) }, work));
if (files.length === 0) console.log(`no test file matches ${words.join(' ')}`);
console.log(`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
process.exit(totals.failed > 0 || files.length === 0 ? 1 : 0);
