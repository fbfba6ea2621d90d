/**
 * Memory for results and large inputs, which V8 has outside of its heap. New memory costs twice: the pages that the system gives take up to
 * 15 µs for 4 KB on virtual machines, ten times the copy; and when some 64 MB of it have grown old, V8 marks its whole heap, which takes the
 * main thread 20 to 40 ms. So arrays that nobody needs any more are handed out again, where whoever had them says so (`recycle`). Else large
 * results are collected in time, which spares the pages: the next one lies where an earlier one was.
 */
import v8 from 'node:v8';
import { HEAP_BYTES_MAX } from './copy-bytes.ts';
import type { Tensor } from './tensor.ts';
import { type EngineValue, isHostValue } from './value.ts';

/** Handed out between two collections of young objects, each of which takes half a millisecond. */
const UNCOLLECTED_BYTES_MAX = 4 * 2 ** 20;
/** Smaller ones come from memory that the allocator keeps. */
const LARGE_BYTES = 128 * 2 ** 10;
/** Of what is to be handed out again. */
const FREE_MAX = 64;
const FREE_BYTES_MAX = 32 * 2 ** 20;

type Collect = (options: { readonly type: 'minor' }) => void;

let uncollectedBytes = 0;
let collect: Collect | undefined;
/** Handed out from here: nothing else is taken back, and that only once. */
const lent = new WeakSet<ArrayBufferLike>();
/** What came back last is last. */
const free: ArrayBuffer[] = [];
let freeBytes = 0;

/** Memory with whatever was in it before: clearing it would take as long as the copy that follows. */
export function resultBuffer(byteLength: number): ArrayBuffer {
  const place = free.findLastIndex((buffer) => buffer.byteLength === byteLength);
  const buffer = place < 0 ? newBuffer(byteLength) : (free.splice(place, 1)[0] as ArrayBuffer);
  if (place >= 0) freeBytes -= byteLength;
  lent.add(buffer);
  return buffer;
}

/** Whether its memory may be from here. Asking smaller arrays for their buffers would give them some. */
export function isRecyclable(value: EngineValue): value is Tensor {
  return !isHostValue(value) && value.data.byteLength > HEAP_BYTES_MAX;
}

/** Nobody looks at these values any more, nor at parts of them: those that lie in memory from here give it back. */
export function recycle(values: Iterable<EngineValue>): void {
  for (const value of values) {
    if (!isRecyclable(value)) continue;
    const { buffer } = value.data;
    // What was transferred to another thread has no memory here.
    if (!lent.delete(buffer) || buffer.byteLength === 0) continue;
    free.push(buffer as ArrayBuffer);
    freeBytes += buffer.byteLength;
  }
  while (free.length > FREE_MAX || freeBytes > FREE_BYTES_MAX) freeBytes -= (free.shift() as ArrayBuffer).byteLength;
}

function newBuffer(byteLength: number): ArrayBuffer {
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
