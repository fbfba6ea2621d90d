// Several cores on one run. A program marks sections of chunks that do not depend on each other (FORK). The core that has the run opens a
// section on its board; it and its helpers take one chunk after the other until there is none left. Each begins in a range of its own, and goes
// on at the end of another's when its own is empty (affinity scheduling: E. Markatos and T. LeBlanc, 1994): so a core mostly reads what
// it has written itself, and the word that it counts in stays in its own cache. The section is over when the chunks that were taken are
// done, so that a helper which the system has set aside delays nothing but its own chunk, and one that comes late finds nothing to take:
// epoch and chunks left of a range are one word.
//
// A run that is suspended leaves chunks half done, each in the lane (scratch memory) where it was computed. They are noted in the run's own
// memory, and the core that resumes the run ends them before it opens the section again.
import * as op from './opcodes.ts';
import { Fork, useBases, useLane } from './operands.ts';
import { faultWord, setFaultWord, setFollows, walk, walkToFork } from './program.ts';

/** What a core shows to others. Each has its own; runtime/engine/core-block.ts knows its fields. */
@unmanaged
class Board {
  flag: i32; // not zero: suspend
  helpers: u32; // how many of the helpers' bells below count
  fault: i32; faultWord: u32; // the first of the section; 0 for none
  arena: u32; weights: u32; tables: u32; // base pointers of the run
  lanes: u32; // the run's Lanes
  words: u32; fork: u32; places: u32; // the open section
  count: u32; ranges: u32; // chunks that it has been opened with, and the ranges they lie in
  isOpen: u32; epoch: u32;
  isWaiting: i32; // the core sleeps until this is 0
  // @64: the ranges, a cache line each; @960: bells of the helpers
}
const RANGES: usize = 64;
const HELPERS: usize = 960;

/** Chunks of a section that nobody has taken. */
@unmanaged
class Range {
  left: u64; // epoch << 32 | end << 16 | next
  done: i32; // chunks, of any range, that the core of this lane has done
}
const RANGE_SHIFT: usize = 6;
const RANGES_MAX: u32 = 14;
const CLOSED: u64 = 0xffff;

/** Where a run that was suspended goes on, and memory of the lanes behind the first. */
@unmanaged
class Lanes {
  ranges: u32; // of the section at which it stands; 0 when none of it was begun
  bytes: u32; // of one lane
  section: u32; // 1 + the word of the section at which it stands, 0 for none: what else is here counts for that one only
  // @12: of each range end << 16 | next; @72: for each lane the word at which its chunk stands, 0 for none, and the word where that ends; @256: the lanes' memory
}
const RESTS: usize = 12;
const HALVES: usize = 72;
const LANE_MEMORY: usize = 256;
/** Cores at most; the first lane is the arena's. */
const LANES_MAX: u32 = 16;

/** Changes when a core is wanted: its value is what the core has seen last. */
@unmanaged
class Bell {
  rings: i32; isAsleep: i32;
}

/** Some 60 µs, by estimate: who sleeps takes up to that long to wake, and few instructions between sections take longer. */
const SPINS: i32 = 40000;

/** Who waits for a section looks at its own range, and once in so many times, a power of two less one, at all. */
const LOOK_AROUND: i32 = 127;

/** epoch << 32 | index of the chunk that this core has done last, in the section that is open. */
let lastChunk: u64 = 0;

/** As `execute` (program.ts), for the run whose bases and lanes stand on the board; helpers may take part. */
export function executeShared(words: usize, pc: u32, place: usize): i32 {
  const board = changetype<Board>(place);
  useBases(place + offsetof<Board>('arena'));
  setFollows(true);
  // It may be one of a section of another board.
  lastChunk = 0;
  while (true) {
    let at = walkToFork(words, pc, place);
    if (at < 0 || atomic.load<i32>(place) != 0) return at;
    at = share(words, at, board);
    if (at < 0 || atomic.load<i32>(place) != 0) return at;
    pc = at;
  }
}

/** Returns the word behind the section, the section's own when it is not over, or -(2 + fault). */
function share(words: usize, fork: u32, board: Board): i32 {
  const place = changetype<usize>(board);
  const head = words + (<usize>fork << 2) + 4;
  const section = changetype<Fork>(head), lanes = changetype<Lanes>(<usize>board.lanes);
  const count = section.count, places = head + offsetof<Fork>();
  // Chunks that begin and end elsewhere would write wherever their scratch memory were taken to lie.
  if (lanes.section != 0 && lanes.section != fork + 1) {
    setFaultWord(fork);
    return -(2 + op.FAULT_PLACE);
  }
  lanes.section = fork + 1;
  for (let lane: u32 = 0; lane < LANES_MAX; lane++) {
    const half = halfOf(lanes, lane), pc = load<u32>(half);
    if (pc == 0) continue;
    if (lane > 0) useLane(memoryOf(lanes, lane), section.scratch);
    const end = load<u32>(half, 4), at = walk(words, pc, end, place);
    useBases(place + offsetof<Board>('arena'));
    if (at < 0) return at;
    store<u32>(half, <u32>at == end ? 0 : at);
    if (atomic.load<i32>(place) != 0) return fork;
  }
  board.words = <u32>words;
  board.fork = fork;
  board.places = <u32>places;
  board.fault = 0;
  board.isOpen = 1;
  open(board, lanes, count);
  wakeHelpers(place);
  while (takeChunk(place, 0)) {}
  const left = close(place);
  awaitDone(place, board.count - left);
  board.isOpen = 0;
  useBases(place + offsetof<Board>('arena'));
  const fault = atomic.load<i32>(place + offsetof<Board>('fault'));
  if (fault != 0) {
    setFaultWord(board.faultWord);
    return -fault;
  }
  if (left > 0) return fork;
  for (let lane: u32 = 0; lane < LANES_MAX; lane++) if (load<u32>(halfOf(lanes, lane)) != 0) return fork;
  lanes.ranges = 0;
  lanes.section = 0;
  return fork + load<u32>(places + (<usize>count << 2));
}

/** Takes chunks of the run on the board until `bell` no longer has the value `rings`. The lane belongs to this core alone. */
export function help(place: usize, lane: u32, bell: usize, rings: i32): void {
  let spins = 0;
  const own = rangeOf(place, lane % RANGES_MAX);
  // Another board counts its sections by itself.
  lastChunk = 0;
  while (atomic.load<i32>(bell) == rings) {
    // Whatever else lies on the board the other core would have to fetch back, line by line, to write its next section there.
    if ((hasLeft(atomic.load<u64>(own)) || (spins & LOOK_AROUND) == 0) && takeChunk(place, lane)) spins = 0;
    else if (++spins >= SPINS) {
      spins = 0;
      // Either the other core sees that this one is about to sleep, or this one sees the chunks that it has to offer.
      atomic.store<i32>(bell + offsetof<Bell>('isAsleep'), 1);
      if (!hasChunk(place)) atomic.wait<i32>(bell, rings, -1);
      atomic.store<i32>(bell + offsetof<Bell>('isAsleep'), 0);
    }
  }
}

/** After a trap of the core that has the run: ends its section, so that no helper is at work when this returns. */
export function abandon(place: usize): void {
  const board = changetype<Board>(place);
  if (board.isOpen == 0) return;
  // The chunk that trapped is never done.
  awaitDone(place, board.count - close(place) - 1);
  board.isOpen = 0;
}

/** After a trap of a helper: its chunk counts as done, and the run cannot go on. */
export function failChunk(place: usize, lane: u32): void {
  finishChunk(place, lane, 2 + op.FAULT_TRAP, 0);
}

function hasChunk(place: usize): bool {
  if (isStopped(place)) return false;
  const ranges = changetype<Board>(place).ranges;
  for (let i: u32 = 0; i < ranges; i++) if (hasLeft(atomic.load<u64>(rangeOf(place, i)))) return true;
  return false;
}

function isStopped(place: usize): bool {
  return atomic.load<i32>(place) != 0 || atomic.load<i32>(place + offsetof<Board>('fault')) != 0;
}

/** False when there is none, or the run is to stop. */
function takeChunk(place: usize, lane: u32): bool {
  if (isStopped(place)) return false;
  const ranges = changetype<Board>(place).ranges;
  for (let i: u32 = 0; i < ranges; i++) {
    const owner = (lane + i) % ranges, isOwn = owner == lane;
    const range = rangeOf(place, owner), left = atomic.load<u64>(range);
    if (!hasLeft(left)) continue;
    // Had the section ended meanwhile, the word would be another one: what is read of the board then is the section's own.
    if (atomic.cmpxchg<u64>(range, left, isOwn ? left + 1 : left - 0x10000) == left)
      computeChunk(place, lane, left >> 32, isOwn ? <u32>left & 0xffff : (<u32>left >> 16) - 1);
    return true;
  }
  return false;
}

function computeChunk(place: usize, lane: u32, epoch: u64, index: u32): void {
  const board = changetype<Board>(place);
  const fork = board.fork, places = <usize>board.places + (<usize>index << 2);
  const pc = fork + load<u32>(places), end = fork + load<u32>(places, 4);
  const lanes = changetype<Lanes>(<usize>board.lanes);
  useBases(place + offsetof<Board>('arena'));
  if (lane > 0) useLane(memoryOf(lanes, lane), load<u32>(<usize>board.words + (<usize>fork << 2), 4));
  const chunk = epoch << 32 | <u64>index;
  setFollows(chunk == lastChunk + 1);
  const at = walk(board.words, pc, end, place);
  setFollows(true);
  lastChunk = chunk;
  if (at >= 0 && <u32>at != end) {
    const half = halfOf(lanes, lane);
    store<u32>(half, at);
    store<u32>(half, end, 4);
  }
  finishChunk(place, lane, at < 0 ? -at : 0, faultWord());
}

function finishChunk(place: usize, lane: u32, fault: i32, word: u32): void {
  const board = changetype<Board>(place);
  if (fault != 0 && atomic.cmpxchg<i32>(place + offsetof<Board>('fault'), 0, fault) == 0) board.faultWord = word;
  atomic.add<i32>(rangeOf(place, lane % RANGES_MAX) + offsetof<Range>('done'), 1);
  const isWaiting = place + offsetof<Board>('isWaiting');
  if (atomic.load<i32>(isWaiting) == 0) return;
  atomic.store<i32>(isWaiting, 0);
  atomic.notify(isWaiting, 1);
}

/** Offers the chunks of a section, or what was left of it when the run was suspended. */
function open(board: Board, lanes: Lanes, count: u32): void {
  const place = changetype<usize>(board), rests = changetype<usize>(lanes) + RESTS;
  if (lanes.ranges == 0) {
    const ranges = min<u32>(1 + board.helpers, RANGES_MAX);
    for (let i: u32 = 0; i < ranges; i++)
      store<u32>(rests + (<usize>i << 2), ((count * (i + 1)) / ranges) << 16 | (count * i) / ranges);
    lanes.ranges = ranges;
  }
  board.epoch++;
  board.ranges = lanes.ranges;
  board.count = 0;
  for (let i: u32 = 0; i < RANGES_MAX; i++) changetype<Range>(rangeOf(place, i)).done = 0;
  for (let i: u32 = 0; i < lanes.ranges; i++) {
    const rest = load<u32>(rests + (<usize>i << 2));
    board.count += sizeOf(rest);
    atomic.store<u64>(rangeOf(place, i), <u64>board.epoch << 32 | <u64>rest);
  }
}

/** Nobody takes a chunk from now on. Notes what is left for when the run goes on, and returns how many chunks that are. */
function close(place: usize): u32 {
  const board = changetype<Board>(place), rests = <usize>board.lanes + RESTS;
  let count: u32 = 0;
  for (let i: u32 = 0; i < board.ranges; i++) {
    const range = rangeOf(place, i);
    let left = atomic.load<u64>(range);
    for (let seen = left; ; left = seen) {
      seen = atomic.cmpxchg<u64>(range, left, left | CLOSED);
      if (seen == left) break;
    }
    store<u32>(rests + (<usize>i << 2), <u32>left);
    count += sizeOf(<u32>left);
  }
  return count;
}

function awaitDone(place: usize, taken: u32): void {
  const isWaiting = place + offsetof<Board>('isWaiting');
  for (let spins = 0; doneOf(place) != taken; ) {
    if (++spins < SPINS) continue;
    // Either the helper sees that this core is about to sleep, or this one sees what it has done.
    atomic.store<i32>(isWaiting, 1);
    if (doneOf(place) != taken) atomic.wait<i32>(isWaiting, 1, -1);
  }
  atomic.store<i32>(isWaiting, 0);
}

function doneOf(place: usize): u32 {
  let done = 0;
  for (let i: u32 = 0; i < RANGES_MAX; i++) done += atomic.load<i32>(rangeOf(place, i) + offsetof<Range>('done'));
  return done;
}

function wakeHelpers(place: usize): void {
  const board = changetype<Board>(place);
  for (let i: u32 = 0; i < board.helpers; i++) {
    const bell = <usize>load<u32>(place + HELPERS + (<usize>i << 2));
    if (atomic.load<i32>(bell + offsetof<Bell>('isAsleep')) == 0) continue;
    atomic.add<i32>(bell, 1);
    atomic.notify(bell, 1);
  }
}

// @ts-ignore: decorator
@inline
function halfOf(lanes: Lanes, lane: u32): usize {
  return changetype<usize>(lanes) + HALVES + (<usize>lane << 3);
}

// @ts-ignore: decorator
@inline
function memoryOf(lanes: Lanes, lane: u32): usize {
  return changetype<usize>(lanes) + LANE_MEMORY + <usize>(lane - 1) * lanes.bytes;
}

// @ts-ignore: decorator
@inline
function rangeOf(place: usize, index: u32): usize {
  return place + RANGES + (<usize>index << RANGE_SHIFT);
}

// @ts-ignore: decorator
@inline
function sizeOf(rest: u32): u32 {
  return (rest >> 16) - (rest & 0xffff);
}

// @ts-ignore: decorator
@inline
function hasLeft(range: u64): bool {
  return (<u32>range & 0xffff) < <u32>range >> 16;
}
