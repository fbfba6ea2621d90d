/**
 * Bilinear resizing and the ways of fitting a picture into a model's input.
 *
 * Sampling is OpenCV's INTER_LINEAR: pixel centres at half coordinates, borders replicated, no anti-aliasing when
 * shrinking (Pillow's BILINEAR widens its filter there). The models served here were trained on OpenCV's pictures.
 */
import type { Image } from './image.ts';

/**
 * Where the source picture lies in the resized one, with positions in pixels from the upper left corner:
 * `x' = x · scaleX + offsetX`, `y' = y · scaleY + offsetY`.
 */
export interface Placement {
  readonly sourceWidth: number;
  readonly sourceHeight: number;
  /** Size of the resized picture, padding included. */
  readonly width: number;
  readonly height: number;
  readonly scaleX: number;
  readonly scaleY: number;
  readonly offsetX: number;
  readonly offsetY: number;
}

export interface Resized {
  readonly image: Image;
  readonly placement: Placement;
}
