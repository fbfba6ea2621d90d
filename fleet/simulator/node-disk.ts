/** What a simulated node has on its disk. */
import type { HeldUnit, TaskChange } from '../../runtime/node/tasks.ts';

export interface Disk {
  desired: string | null;
  /** JSON, as entries. */
  proofs: string;
  hold: string | null;
  /** Before the last switch to another version of the program. */
  readyBefore: readonly string[];
  readonly blobs: Set<string>;
  readonly units: Map<string, HeldUnit>;
  readonly gone: Map<string, number>;
  floor: number;
}

export function emptyDisk(): Disk {
  const sets = { blobs: new Set<string>(), units: new Map(), gone: new Map() };
  return { desired: null, proofs: '[]', hold: null, readyBefore: [], floor: 0, ...sets };
}

/** One commit. */
export function keepTasks(disk: Disk, changes: readonly TaskChange[]): void {
  for (const change of changes) {
    if (change.type === 'keep') {
      disk.units.set(change.unit.assignment.unit, change.unit);
      disk.gone.delete(change.unit.assignment.unit);
    } else if (change.type === 'forget') {
      disk.units.delete(change.unit);
      if (change.goneFence !== undefined) disk.gone.set(change.unit, change.goneFence);
    } else {
      disk.floor = change.floor;
      for (const [unit, fence] of disk.gone) if (fence <= change.floor) disk.gone.delete(unit);
    }
  }
}
