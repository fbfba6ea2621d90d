/** The priority classes, and what the policy promises to each. */

export const SAFETY = 0;

export interface PriorityClass {
  readonly name: string;
  /** A run without a deadline is ordered as if it had to end this long after its submission, so that none is passed for ever. */
  readonly targetUs: number;
  /** Share of the core time that safety leaves which the class gets at the least while it has work. */
  readonly floor: number;
  /** How much core time a tenant may be ahead of another one for the sake of an earlier deadline. */
  readonly creditUs: number;
}

/** Most urgent first; a class is its place in this list. */
export const PRIORITIES: readonly PriorityClass[] = [
  { name: 'safety', targetUs: 100_000, floor: 0, creditUs: Number.POSITIVE_INFINITY },
  { name: 'interactive', targetUs: 500_000, floor: 0, creditUs: 250_000 },
  { name: 'normal', targetUs: 5_000_000, floor: 0.1, creditUs: 1_000_000 },
  { name: 'background', targetUs: 60_000_000, floor: 0.05, creditUs: 5_000_000 },
];

/** The class of a name or number; undefined when there is none. */
export function priorityOf(nameOrNumber: string | number): number | undefined {
  const place =
    typeof nameOrNumber === 'number' ? nameOrNumber : PRIORITIES.findIndex(({ name }) => name === nameOrNumber);
  return place in PRIORITIES ? place : undefined;
}
