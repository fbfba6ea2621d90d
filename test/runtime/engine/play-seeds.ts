/** Random workloads, one after the other: each is its seed's, and all together have to show what they are there for. */
import * as assert from 'uvu/assert';
import { Random } from '../../random.ts';

interface Workload {
  /** How often each outcome was seen. */
  readonly outcomes: Readonly<Record<string, number>>;
  /** Rejects when something is not as it should be. */
  play(): Promise<void>;
}

/** Fewer say little. */
const SEEN_MIN = 15;

/** Rejects with the seed of the workload that fails, or when one of the `expected` outcomes was hardly seen. */
export async function playSeeds(
  count: number,
  workloadOf: (random: Random) => Workload,
  expected: readonly string[],
): Promise<void> {
  const first = Number(process.env.SEED ?? 1);
  console.log(`seed ${first}`);
  const seen: Record<string, number> = {};
  for (let seed = first; seed < first + count; seed++) {
    const workload = workloadOf(new Random(seed));
    try {
      await workload.play();
    } catch (cause) {
      throw new Error(`seed ${seed}: ${cause}`, { cause });
    }
    for (const [outcome, times] of Object.entries(workload.outcomes)) seen[outcome] = (seen[outcome] ?? 0) + times;
  }
  for (const outcome of expected)
    assert.ok((seen[outcome] ?? 0) > SEEN_MIN, `saw only ${seen[outcome] ?? 0} ${outcome}`);
}
