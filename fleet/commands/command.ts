/** A command is one object; the command line, the HTTP route and (later) the console, natural language and audit are made from it. */
import type { z } from 'zod';
import type { ControllerService } from '../controller/service.ts';

export interface CommandContext {
  readonly controller: ControllerService;
  readonly signal: AbortSignal;
}

export interface Command<Arguments extends z.ZodObject = z.ZodObject, Result = unknown> {
  /** Words as typed: `['models', 'add']`. */
  readonly name: readonly string[];
  readonly summary: string;
  /** Each key becomes a flag (or a positional, see `positionals`), its description the help text. */
  readonly arguments: Arguments;
  /** Keys of `arguments` that are given by position, in order. */
  readonly positionals?: readonly (keyof z.infer<Arguments> & string)[];
  readonly permission: 'read' | 'write';
  run(args: z.infer<Arguments>, context: CommandContext): Promise<Result>;
  /** Plain text for people; colours come from the caller's `Style`. */
  render(result: Result, style: Style): string;
}

export interface Style {
  good(text: string): string;
  bad(text: string): string;
  dim(text: string): string;
  bold(text: string): string;
  table(header: readonly string[], rows: readonly (readonly string[])[]): string;
}
