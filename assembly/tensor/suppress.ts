// Non-maximum suppression: of the boxes of a class, best score first, those that overlap none that was kept before by more
// than a threshold (ONNX NonMaxSuppression-11). How much there is to do depends on the data, so one call does a bounded
// amount and notes in `room` where it stands.
import { AGAIN, OK } from '../opcodes.ts';
import { Suppress, at } from '../operands.ts';
import { sink } from './order.ts';
import { splat } from './simd.ts';

/** What one call may do, in units of about two nanoseconds: a score looked at, or a pair of boxes compared. */
const WORK_MAX: i32 = 65536;
/** Units that sinking into a heap takes: on average while it is built, and at most when its first is taken. */
const BUILD_WORK: i32 = 8;
const TAKE_WORK: i32 = 64;

const COLLECT: i32 = 0;
const BUILD: i32 = 1;
const CHOOSE: i32 = 2;

/** Where the work stands: at the front of `room`, all zeros at the start. */
@unmanaged
class Progress {
  phase: i32;
  /** Image · classes + class. */
  pair: i32;
  /** COLLECT: scores seen. BUILD: roots done. CHOOSE: kept boxes that the present one was compared with. */
  done: i32;
  candidates: i32;
  /** Kept boxes of the pair, and of all pairs so far. */
  kept: i32;
  written: i32;
}
const HEAP: usize = 64;

/** Scores above the threshold (NaN: all of them) become candidates. */
function collect(o: Suppress, p: Progress, scores: usize, heap: usize): i32 {
  const least = load<f32>(at(o.least)), all = least != least;
  const end = min(o.boxCount, p.done + WORK_MAX), work = end - p.done;
  for (let box = p.done; box < end; box++) {
    if (!all && !(load<f32>(scores + (<usize>box << 2)) > least)) continue;
    store<i32>(heap + (<usize>p.candidates << 2), box);
    p.candidates++;
  }
  p.done = end;
  if (end == o.boxCount) {
    p.phase = BUILD;
    p.done = 0;
  }
  return work;
}

function build(p: Progress, scores: usize, heap: usize): i32 {
  const roots = p.candidates / 2, end = min(roots, p.done + WORK_MAX / BUILD_WORK);
  const work = (end - p.done) * BUILD_WORK;
  for (; p.done < end; p.done++) sink<f32>(heap, p.candidates, roots - 1 - p.done, scores, 4, true);
  if (end == roots) {
    p.phase = CHOOSE;
    p.done = 0;
  }
  return work;
}

/** Low and high corner and area of a box, `step` bytes apart. */
function outline(box: usize, centred: bool, to: usize, step: usize): void {
  const a = load<f32>(box), b = load<f32>(box, 4), c = load<f32>(box, 8), d = load<f32>(box, 12);
  let left = min(a, c), top = min(b, d), right = max(a, c), bottom = max(b, d);
  if (centred) {
    left = a - c / 2; top = b - d / 2; right = a + c / 2; bottom = b + d / 2;
  }
  store<f32>(to, left);
  store<f32>(to + step, top);
  store<f32>(to + step * 2, right);
  store<f32>(to + step * 3, bottom);
  store<f32>(to + step * 4, (right - left) * (bottom - top));
}

/** Whether a box overlaps one of four kept ones by more than `most`. All are laid out by `outline`. */
// @ts-ignore: decorator
@inline
function overlaps(box: usize, kept: usize, step: usize, most: v128): bool {
  const zero = f32x4.splat(0);
  const width = f32x4.sub(f32x4.min(splat(box + 8), v128.load(kept + step * 2)), f32x4.max(splat(box), v128.load(kept)));
  const height = f32x4.sub(f32x4.min(splat(box + 12), v128.load(kept + step * 3)), f32x4.max(splat(box + 4), v128.load(kept + step)));
  const common = f32x4.mul(width, height);
  const together = f32x4.sub(f32x4.add(splat(box + 16), v128.load(kept + step * 4)), common);
  const both = v128.and(f32x4.gt(width, zero), f32x4.gt(height, zero));
  return v128.any_true(v128.and(both, f32x4.gt(f32x4.div(common, together), most)));
}

/** Takes candidates off the heap, best first, until none is left, enough are kept, or the work is too much for one call. */
function choose(o: Suppress, p: Progress, scores: usize, heap: usize): i32 {
  const boxes = at(o.boxes) + (<usize>(p.pair / o.classes * o.boxCount) << 4);
  const kept = heap + (<usize>(o.boxCount + 3 & ~3) << 2), step = <usize>(o.most + 3 & ~3) << 2;
  const outlined = changetype<usize>(p) + 32, most = splat(at(o.overlap));
  let work = 0;
  while (p.candidates > 0 && p.kept < o.most) {
    const box = load<i32>(heap);
    outline(boxes + (<usize>box << 4), o.centred != 0, outlined, 4);
    let isFree = true;
    for (; isFree && p.done < p.kept && work < WORK_MAX; p.done += 4, work += 4) {
      isFree = !overlaps(outlined, kept + (<usize>p.done << 2), step, most);
    }
    if (isFree && p.done < p.kept) return work;
    if (isFree) {
      const to = kept + (<usize>p.kept << 2);
      // Boxes of no size overlap nothing, until others take their places.
      if ((p.kept & 3) == 0) for (let part: usize = 0; part < 5; part++) v128.store(to + part * step, f32x4.splat(0));
      for (let part: usize = 0; part < 5; part++) store<f32>(to + part * step, load<f32>(outlined + (part << 2)));
      store<i32>(at(o.places) + (<usize>p.written << 2), p.pair * o.boxCount + box);
      p.kept++;
      p.written++;
    }
    p.done = 0;
    p.candidates--;
    store<i32>(heap, load<i32>(heap + (<usize>p.candidates << 2)));
    if (p.candidates > 1) sink<f32>(heap, p.candidates, 0, scores, 4, true);
    work += TAKE_WORK;
    if (work >= WORK_MAX) return work;
  }
  p.phase = COLLECT;
  p.done = p.candidates = p.kept = 0;
  p.pair++;
  return work;
}

export function suppress(o: Suppress): i32 {
  const room = at(o.room), p = changetype<Progress>(room), heap = room + HEAP;
  let work = 0;
  while (p.pair < o.pairs) {
    const scores = at(o.scores) + (<usize>(p.pair * o.boxCount) << 2);
    if (p.phase == COLLECT) work += collect(o, p, scores, heap);
    else if (p.phase == BUILD) work += build(p, scores, heap);
    else work += choose(o, p, scores, heap);
    if (work >= WORK_MAX) return AGAIN;
  }
  store<i32>(at(o.count), p.written);
  return OK;
}
