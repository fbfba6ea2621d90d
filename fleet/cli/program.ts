/** The command line, made from the table of commands plus the few that only make sense on this machine. */
import tab from '@bomb.sh/tab/commander';
import { Command } from 'commander';
import packageFile from '../../package.json' with { type: 'json' };
import { ControllerClient } from '../api/client.ts';
import { type Command as FleetCommand, parseArguments, type Style } from '../commands/command.ts';
import { commands } from '../commands/index.ts';
import { DEFAULT_PORTS } from '../controller/controller.ts';
import { collectFlags, declareFlags } from './flags.ts';
import { addLocalCommands, inferHere } from './local.ts';

export interface Terminal {
  /** One or more lines on standard output. */
  print(text: string): void;
  readonly style: Style;
  readonly signal: AbortSignal;
}

const groups: Readonly<Record<string, string>> = {
  models: 'The registry of models',
  triggers: 'Which messages are answered, and how',
  rollouts: 'New versions and forms, phase by phase',
  placement: 'Which node serves what, why, and what would be if',
  schedules: 'Tasks that come again and again',
  settings: 'How nodes are set up, by their names or labels',
  software: "Versions of the nodes' own program",
  tasks: 'Work for the fleet: once, over many inputs, or on every node',
};

export function createProgram(terminal: Terminal): Command {
  const program = new Command('llmasos')
    .description('Real-time inference on a fleet of edge gateways.')
    .version(packageFile.version)
    .enablePositionalOptions()
    .showHelpAfterError('(--help shows what there is)')
    .option(
      '--controller <url>',
      'address of the controller',
      process.env.LLMASOS_CONTROLLER ?? `http://127.0.0.1:${DEFAULT_PORTS.http}`,
    )
    .option('--json', 'print JSON for machines', false);
  addLocalCommands(program, terminal);
  const parents = new Map<string, Command>([['', program]]);
  for (const command of commands) {
    const group = command.name.slice(0, -1).join(' ');
    const parent = parents.get(group) ?? program.command(group).description(groups[group] ?? '');
    parents.set(group, parent);
    addCommand(parent, command, program, terminal);
  }
  tab(program, { completionCommandName: 'completion' });
  return program;
}

function addCommand(parent: Command, command: FleetCommand, program: Command, terminal: Terminal): void {
  const schema = command.local?.arguments ?? command.arguments;
  const positionals = (command.local ? command.local.positionals : command.positionals) ?? [];
  const typed = parent.command(command.name.at(-1) as string).description(command.summary);
  declareFlags(typed, schema, positionals);
  // `infer --json FILE` names an input: there the flag for machines stands before the command.
  if (!('json' in schema.shape)) typed.option('--json', 'print JSON for machines');
  typed.option('--controller <url>', 'address of the controller');
  typed.action(async (...given: unknown[]) => {
    const words = given.slice(0, -2);
    const { json, controller } = program.opts<{ json: boolean; controller: string }>();
    const url = typed.opts().controller ?? controller;
    const args = collectFlags(schema, positionals, words, typed.opts());
    const asJson = json || typed.opts().json === true;
    if (command.name[0] === 'infer' && (await inferHere(args, asJson, terminal))) return;
    await perform(command, args, { url, asJson, terminal });
  });
}

async function perform(
  command: FleetCommand,
  args: Record<string, unknown>,
  { url, asJson, terminal }: { url: string; asJson: boolean; terminal: Terminal },
): Promise<void> {
  const { print, style, signal } = terminal;
  const context = {
    controller: new ControllerClient(url),
    signal,
    emit: (event: unknown) => print(asJson ? JSON.stringify(event) : (command.renderEvent?.(event, style) ?? '')),
  };
  const ready = command.local
    ? await command.local.prepare(parseArguments(command, command.local.arguments, args), context)
    : args;
  const result = await command.run(parseArguments(command, command.arguments, ready), context);
  if (command.renderEvent) return;
  print(asJson ? JSON.stringify(result, null, 2) : command.render(result, style));
}
