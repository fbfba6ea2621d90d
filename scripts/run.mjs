// `npm start` and `npm test`: makes the clone ready, then runs a TypeScript file of the project on the packaged Node.
//   node scripts/run.mjs FILE [ARGUMENTS…]
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { prepare } from './prepare.mjs';
import { programOf } from './programs.mjs';

const [file, ...rest] = process.argv.slice(2);
const node = await prepare();
// What V8 is to do in nodes: docs/scheduling.md says why.
const v8Flags = JSON.parse(readFileSync(new URL('../runtime/node/v8-flags.json', import.meta.url), 'utf8'));
const flags = file === 'fleet/cli/main.ts' && rest[0] === 'node' ? v8Flags : [];
const child = spawn(node, [...flags, await programOf(file), ...rest], {
  // The channel's end tells the child when this process is gone without a word (kill -9).
  stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
});
// Ctrl-C reaches the whole process group; this wrapper only waits for the child's own clean end.
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => signal === 'SIGTERM' && child.kill(signal));
child.on('exit', (code, signal) => process.exit(signal ? 1 : (code ?? 1)));
