/**
 * Memory for results, which V8 has outside of its heap: it collects young objects when 32 MB of such have piled up, and until then every
 * result lies in pages that the system has just given, which costs up to 15 µs for 4 KB on virtual machines, ten times the copy. So
 * large results are collected in time: the next one lies where an earlier one was.
 */
import v8 from 'node:v8';

/** Handed out between two collections of young objects, each of which takes half a millisecond. */
const UNCOLLECTED_BYTES_MAX = 4 * 2 ** 20;
/** Smaller ones come from memory that the allocator keeps. */
const LARGE_BYTES = 128 * 2 ** 10;

type Collect = (options: { readonly type: 'minor' }) => void;

let uncollectedBytes = 0;
let collect: Collect | undefined;

/** New memory with whatever was in it before: clearing it would take as long as the copy that follows. */
export function resultBuffer(byteLength: number): ArrayBuffer {
  if (byteLength >= LARGE_BYTES) {
    uncollectedBytes += byteLength;
    if (uncollectedBytes > UNCOLLECTED_BYTES_MAX) {
      collect ??= findCollect();
      collect({ type: 'minor' });
      uncollectedBytes = byteLength;
    }
  }
  return Buffer.allocUnsafeSlow(byteLength).buffer;
}

/** V8 gives its collector's function to contexts that are made while this flag is set; others have none, and nothing is done. */
function findCollect(): Collect {
  v8.setFlagsFromString('--expose-gc');
  try {
    const { runInNewContext } = process.getBuiltinModule('node:vm');
    return runInNewContext('gc') as Collect;
  } catch {
    return () => {};
  } finally {
    // For the moment only: V8 compares the flags also for Node's own ready-made code.
    v8.setFlagsFromString('--no-expose-gc');
  }
}
