/** What this machine has, for the reported state. */
import { availableParallelism, totalmem } from 'node:os';
import type { Inventory } from '../protocol/messages.ts';

/** @param found what is found out while the node runs already */
export function takeInventory(version: string, found: Pick<Inventory, 'simd' | 'gpu'>): Inventory {
  return {
    version,
    node: process.versions.node,
    platform: process.platform,
    architecture: process.arch,
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    ...found,
  };
}

/** A function of one relaxed instruction, i8x16.relaxed_swizzle (WebAssembly 3.0, binary format 5.4.9). */
const RELAXED = Uint8Array.of(
  ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
  // Types: one, () → v128. Functions: one, of that type.
  ...[0x01, 0x05, 0x01, 0x60, 0x00, 0x01, 0x7b, 0x03, 0x02, 0x01, 0x00],
  // Code: i32.const 1, i8x16.splat, i32.const 2, i8x16.splat, i8x16.relaxed_swizzle, end.
  ...[0x0a, 0x0f, 0x01, 0x0d, 0x00, 0x41, 0x01, 0xfd, 0x0f, 0x41, 0x02, 0xfd, 0x0f, 0xfd, 0x80, 0x02, 0x0b],
);

/** The kernel build that this host can run at least, without loading the kernels: an idle node stays small. */
export function simdOfHost(): string {
  return WebAssembly.validate(RELAXED) ? 'relaxed' : 'plain';
}
