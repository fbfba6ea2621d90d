/** The command `llmasos`. Exit code 1: it did not work, for the reason on stderr. 2: it was typed wrongly. */
import { CommanderError } from 'commander';
import { onStop } from '../../runtime/node/stop-io.ts';
import { printable } from '../commands/text.ts';
import { createProgram } from './program.ts';
import { createStyle, wantsColour } from './style.ts';

const stopping = new AbortController();
onStop(() => stopping.abort());
// `llmasos watch | head` closes the pipe: that is an end, not an error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));

const program = createProgram({
  print: (text) => process.stdout.write(`${text}\n`),
  style: createStyle(wantsColour(process.env, process.stdout.isTTY)),
  signal: stopping.signal,
});
const exitWith = (code: number) => {
  process.exitCode = code;
};
for (const command of [program, ...program.commands, ...program.commands.flatMap((child) => child.commands)])
  command.exitOverride();
try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) exitWith(error.exitCode === 0 ? 0 : 2);
  else {
    process.stderr.write(`llmasos: ${printable(error instanceof Error ? error.message : String(error))}\n`);
    exitWith(1);
  }
}
