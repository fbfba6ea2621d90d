import Table from 'cli-table3';
import { createColors } from 'picocolors';
import type { Style } from '../commands/command.ts';

const borderless = {
  ...{ top: '', 'top-mid': '', 'top-left': '', 'top-right': '', bottom: '', 'bottom-mid': '', 'bottom-left': '' },
  ...{ 'bottom-right': '', left: '', 'left-mid': '', mid: '', 'mid-mid': '', right: '', 'right-mid': '', middle: '  ' },
};

/** Text for a terminal; plain where colour is off (NO_COLOR, a pipe, TERM=dumb). */
export function createStyle(colour: boolean): Style {
  const colours = createColors(colour);
  return {
    good: colours.green,
    bad: colours.red,
    dim: colours.dim,
    bold: colours.bold,
    table(header, rows) {
      const table = new Table({
        head: header.some((word) => word !== '') ? header.map((word) => colours.dim(word)) : [],
        chars: borderless,
        style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
      });
      table.push(...rows.map((row) => [...row]));
      return table.toString();
    },
  };
}

/** NO_COLOR (no-color.org) and FORCE_COLOR win over what the stream is. */
export function wantsColour(environment: NodeJS.ProcessEnv, isTerminal: boolean | undefined): boolean {
  if (environment.NO_COLOR) return false;
  if (environment.FORCE_COLOR && environment.FORCE_COLOR !== '0') return true;
  return isTerminal === true && environment.TERM !== 'dumb';
}
