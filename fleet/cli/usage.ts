/** Flags of commands for developers: they say their usage when asked, and in one line what is wrong with a flag. */
import { type ParseArgsConfig, parseArgs } from 'node:util';

/** Ends the process where the usage is asked for (`--help`), and where a flag is none of the command's. */
export function readFlags<Config extends ParseArgsConfig>(
  usage: string,
  config: Config,
): ReturnType<typeof parseArgs<Config>> {
  try {
    const help = { type: 'boolean', short: 'h' } as const;
    const given = parseArgs({ ...config, options: { ...config.options, help } });
    if (!('help' in given.values)) return given as ReturnType<typeof parseArgs<Config>>;
  } catch (error) {
    refuseFlag((error as Error).message);
  }
  process.stdout.write(usage);
  process.exit(0);
}

/** Ends the process for what is wrong with the value of a flag. */
export function refuseFlag(problem: string): never {
  process.stderr.write(`${problem}; --help says what there is\n`);
  process.exit(2);
}
