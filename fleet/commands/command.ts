/** A command is one object; the command line, the HTTP route and (later) the console, natural language and audit are made from it. */
import type * as z from 'zod';
import type { ControllerService } from '../controller/service.ts';

export interface CommandContext {
  readonly controller: ControllerService;
  readonly signal: AbortSignal;
  /** Takes the events of a command that has them; see `renderEvent`. */
  readonly emit: (event: unknown) => void;
}

export interface Command<
  Arguments extends z.ZodObject = z.ZodObject,
  Result = unknown,
  Typed extends z.ZodObject = z.ZodObject,
> {
  /** Words as typed: `['models', 'add']`. */
  readonly name: readonly string[];
  readonly summary: string;
  /** What travels to the controller. Each key becomes a flag (or a positional), its description the help text. */
  readonly arguments: Arguments;
  /** Keys of `arguments` that are given by position, in order. */
  readonly positionals?: readonly (keyof z.output<Arguments> & string)[];
  /** Where a person types something else than what travels: their files are read, and large ones uploaded, first. */
  readonly local?: LocalForm<Arguments, Typed>;
  readonly permission: 'read' | 'write';
  /** Works on files of the person who types it and asks no controller: it has no HTTP route. */
  readonly isLocal?: true;
  run(args: z.output<Arguments>, context: CommandContext): Promise<Result>;
  /** Plain text for people; colours come from the caller's `Style`. */
  render(result: Result, style: Style): string;
  /** Present where the command goes on until it is told to stop: one line for one event. Such a command has no HTTP route. */
  renderEvent?(event: unknown, style: Style): string;
}

export interface LocalForm<Arguments extends z.ZodObject, Typed extends z.ZodObject> {
  /** In place of the command's own on a command line. */
  readonly arguments: Typed;
  readonly positionals?: readonly (keyof z.output<Typed> & string)[];
  /** Runs on the person's machine. Rejects with an Error that names the file. */
  prepare(args: z.output<Typed>, context: Pick<CommandContext, 'controller' | 'signal'>): Promise<z.input<Arguments>>;
}

export interface Style {
  good(text: string): string;
  bad(text: string): string;
  dim(text: string): string;
  bold(text: string): string;
  table(header: readonly string[], rows: readonly (readonly string[])[]): string;
}

/** Whether a controller answers the command over HTTP. */
export function hasRoute({ renderEvent, isLocal }: Command): boolean {
  return !renderEvent && !isLocal;
}

/** Keeps a command's own types where it is written; the table holds it as a plain `Command`. */
export function defineCommand<Arguments extends z.ZodObject, Result, Typed extends z.ZodObject = z.ZodObject>(
  command: Command<Arguments, Result, Typed>,
): Command {
  return command as unknown as Command;
}

/** Checks arguments as they come from outside. Throws an Error that names the command and the first thing that is wrong. */
export function parseArguments<Schema extends z.ZodObject>(
  command: Pick<Command, 'name'>,
  schema: Schema,
  value: unknown,
): z.output<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  // A misspelt name also makes the right one missing: the misspelling is the more helpful of the two.
  const { issues } = result.error;
  const issue = issues.find(({ code }) => code === 'unrecognized_keys') ?? issues[0];
  const place = issue?.path.join('.');
  throw new Error(`${command.name.join(' ')}: ${place ? `${place}: ` : ''}${issue?.message}`, { cause: result.error });
}
