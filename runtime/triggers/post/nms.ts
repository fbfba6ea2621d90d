/** Boxes and greedy non-maximum suppression, shared by the detectors' steps. */
import { type Placement, toSource } from '../../media/resize.ts';
import { labelOf, rounded } from './step.ts';

export interface Candidate {
  /** Corners; any unit, the same for all candidates. */
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
  readonly score: number;
  readonly index: number;
}

/** What a detector's step reports for each object. */
export interface Detection {
  readonly index: number;
  readonly label: string;
  readonly score: number;
  /** Left, top, right, bottom in pixels of the source picture. */
  readonly box: readonly [number, number, number, number];
}

/** Suppression compares every pair: beyond this many candidates only the best are looked at. */
const CANDIDATES_MAX = 2000;

/** Area of the intersection over area of the union; 0 for boxes without area. */
export function intersectionOverUnion(a: Candidate, b: Candidate): number {
  const width = Math.min(a.right, b.right) - Math.max(a.left, b.left);
  const height = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
  if (width <= 0 || height <= 0) return 0;
  const intersection = width * height;
  return intersection / (areaOf(a) + areaOf(b) - intersection);
}

function areaOf({ left, top, right, bottom }: Candidate): number {
  return (right - left) * (bottom - top);
}

/** A box with an inside and numbers throughout; a model that went astray may give others, which are nothing to report. */
function isSound({ left, top, right, bottom, score }: Candidate): boolean {
  return left < right && top < bottom && [left, top, right, bottom, score].every(Number.isFinite);
}

/**
 * Best first, each candidate drops the worse ones of its class that overlap it by more than `iouMax`
 * (Neubeck and Van Gool, "Efficient Non-Maximum Suppression", 2006; greedy variant). `perClass` false: of any class.
 */
export function suppress(candidates: readonly Candidate[], iouMax: number, perClass = true): Candidate[] {
  const sorted = candidates
    .filter(isSound)
    .sort((a, b) => b.score - a.score)
    .slice(0, CANDIDATES_MAX);
  const kept: Candidate[] = [];
  for (const candidate of sorted) {
    const covered = kept.some(
      (better) => (!perClass || better.index === candidate.index) && intersectionOverUnion(better, candidate) > iouMax,
    );
    if (!covered) kept.push(candidate);
  }
  return kept;
}

/** Candidates in pixels of the model's input, as detections in pixels of the source picture. */
export function toDetections(
  candidates: readonly Candidate[],
  placement: Placement,
  labels: readonly string[] | undefined,
): Detection[] {
  return candidates.map(({ left, top, right, bottom, score, index }) => {
    const corners = [...toSource(placement, left, top), ...toSource(placement, right, bottom)];
    const box = corners.map((value) => rounded(value, 1)) as [number, number, number, number];
    return { index, label: labelOf(labels, index), score: rounded(score), box };
  });
}
