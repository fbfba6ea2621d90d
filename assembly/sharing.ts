// Several cores on one run. A program marks sections of chunks that do not depend on each other (FORK). The core that has the run opens a
// section on its board; it and its helpers take one chunk after the other until there is none left. The section is over when the chunks that
// were taken are done, so that a helper which the system has set aside delays nothing but its own chunk, and one that comes late finds
// nothing to take: epoch and index of the next chunk are one word.
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
  words: u32; fork: u32; places: u32; count: u32; begin: u32; // the open section
  isOpen: u32; epoch: u32;
  isWaiting: i32; // the core sleeps until `done` changes
  // @64: epoch << 32 | index of the next chunk; @128: chunks that are done; @192: bells of the helpers
}
const TICKET: usize = 64;
const DONE: usize = 128;
const HELPERS: usize = 192;

/** Where a run that was suspended goes on, and memory of the lanes behind the first. */
@unmanaged
class Lanes {
  next: u32; // chunk of the section at which it stands
  bytes: u32; // of one lane
  // @64: for each lane the word at which its chunk stands, 0 for none, and the word where that ends; @192: the lanes' memory
}
const HALVES: usize = 64;
const LANE_MEMORY: usize = 192;
/** Cores at most; the first lane is the arena's. */
const LANES_MAX: u32 = 16;

/** Changes when a core is wanted: its value is what the core has seen last. */
@unmanaged
class Bell {
  rings: i32; isAsleep: i32;
}

const TAKEN_ALL: u64 = 0xffffffff;
/** Some 60 µs: who sleeps takes up to that long to wake, and few instructions between sections take longer. */
const SPINS: i32 = 12000;

/** The ticket of the chunk that this core has done last, in the section that is open. */
let lastTicket: u64 = 0;

/** As `execute` (program.ts), for the run whose bases and lanes stand on the board; helpers may take part. */
export function executeShared(words: usize, pc: u32, place: usize): i32 {
  const board = changetype<Board>(place);
  useBases(place + offsetof<Board>('arena'));
  setFollows(true);
  // It may be one of a section of another board.
  lastTicket = 0;
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
  board.count = count;
  board.begin = lanes.next;
  board.fault = 0;
  board.isOpen = 1;
  board.epoch++;
  atomic.store<i32>(place + DONE, 0);
  atomic.store<u64>(place + TICKET, <u64>board.epoch << 32 | board.begin);
  wakeHelpers(place);
  while (takeChunk(place, 0)) {}
  const taken = close(place, count);
  awaitDone(place, taken);
  board.isOpen = 0;
  useBases(place + offsetof<Board>('arena'));
  const fault = atomic.load<i32>(place + offsetof<Board>('fault'));
  if (fault != 0) {
    setFaultWord(board.faultWord);
    return -fault;
  }
  lanes.next += taken;
  if (lanes.next < count) return fork;
  for (let lane: u32 = 0; lane < LANES_MAX; lane++) if (load<u32>(halfOf(lanes, lane)) != 0) return fork;
  lanes.next = 0;
  return fork + load<u32>(places + (<usize>count << 2));
}

/** Takes chunks of the run on the board until `bell` no longer has the value `rings`. The lane belongs to this core alone. */
export function help(place: usize, lane: u32, bell: usize, rings: i32): void {
  let spins = 0;
  // Another board counts its sections by itself.
  lastTicket = 0;
  while (atomic.load<i32>(bell) == rings) {
    if (takeChunk(place, lane)) spins = 0;
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
  awaitDone(place, close(place, board.count) - 1);
  board.isOpen = 0;
}

/** After a trap of a helper: its chunk counts as done, and the run cannot go on. */
export function failChunk(place: usize): void {
  finishChunk(place, 2 + op.FAULT_TRAP, 0);
}

function hasChunk(place: usize): bool {
  const board = changetype<Board>(place);
  const isStopped = atomic.load<i32>(place) != 0 || atomic.load<i32>(place + offsetof<Board>('fault')) != 0;
  return !isStopped && <u32>atomic.load<u64>(place + TICKET) < board.count;
}

/** False when there is none, or the run is to stop. */
function takeChunk(place: usize, lane: u32): bool {
  const board = changetype<Board>(place);
  const ticket = atomic.load<u64>(place + TICKET);
  const index = <usize>(<u32>ticket);
  if (!hasChunk(place)) return false;
  // Had the section ended meanwhile, the word would be another one: what is read now is the section's own.
  if (atomic.cmpxchg<u64>(place + TICKET, ticket, ticket + 1) != ticket) return true;
  const fork = board.fork, places = <usize>board.places + (index << 2);
  const pc = fork + load<u32>(places), end = fork + load<u32>(places, 4);
  const lanes = changetype<Lanes>(<usize>board.lanes);
  useBases(place + offsetof<Board>('arena'));
  if (lane > 0) useLane(memoryOf(lanes, lane), load<u32>(<usize>board.words + (<usize>fork << 2), 4));
  setFollows(ticket == lastTicket + 1);
  const at = walk(board.words, pc, end, place);
  setFollows(true);
  lastTicket = ticket;
  if (at >= 0 && <u32>at != end) {
    const half = halfOf(lanes, lane);
    store<u32>(half, at);
    store<u32>(half, end, 4);
  }
  finishChunk(place, at < 0 ? -at : 0, faultWord());
  return true;
}

function finishChunk(place: usize, fault: i32, word: u32): void {
  const board = changetype<Board>(place);
  if (fault != 0 && atomic.cmpxchg<i32>(place + offsetof<Board>('fault'), 0, fault) == 0) board.faultWord = word;
  atomic.add<i32>(place + DONE, 1);
  if (atomic.load<i32>(place + offsetof<Board>('isWaiting')) != 0) atomic.notify(place + DONE, 1);
}

/** Nobody takes a chunk from now on. Returns how many were taken since the section was opened. */
function close(place: usize, count: u32): i32 {
  const board = changetype<Board>(place);
  while (true) {
    const ticket = atomic.load<u64>(place + TICKET);
    const index = <u32>ticket;
    const closed = ticket | TAKEN_ALL;
    if (atomic.cmpxchg<u64>(place + TICKET, ticket, closed) == ticket) return index - board.begin;
  }
}

function awaitDone(place: usize, taken: i32): void {
  let spins = 0;
  while (atomic.load<i32>(place + DONE) != taken) {
    if (++spins < SPINS) continue;
    atomic.store<i32>(place + offsetof<Board>('isWaiting'), 1);
    const done = atomic.load<i32>(place + DONE);
    if (done != taken) atomic.wait<i32>(place + DONE, done, -1);
  }
  atomic.store<i32>(place + offsetof<Board>('isWaiting'), 0);
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
