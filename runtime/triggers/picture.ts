/** Pictures brought into the form that a model's input wants, and regions cut out of them. */
import type { Tensor, ValueDescription } from '../engine/tensor.ts';
import { cropBox, cropQuad, type Quad } from '../media/crop.ts';
import { type Image, turnUpright } from '../media/image.ts';
import { centreCrop, fitHeight, letterbox, limitSide, type Placement, type Resized, stretch } from '../media/resize.ts';
import { toTensor } from '../media/to-tensor.ts';
import type { ImageInput } from './schema.ts';

export interface PreparedPicture {
  readonly tensor: Tensor;
  readonly placement: Placement;
}

/** `size` is what the model declares, where the trigger gives none (see declaredSize). */
export function preparePicture(image: Image, options: ImageInput, declared: ValueDescription['dims']): PreparedPicture {
  const { image: resized, placement } = resize(image, options, declaredSize(options, declared));
  return { tensor: toTensor(resized, options), placement };
}

/** Height and width of a model's input: the trigger's word first, then the model's own; undefined where it is open. */
export function declaredSize(
  options: ImageInput,
  declared: ValueDescription['dims'],
): { height?: number; width?: number } {
  const [height, width] = options.layout === 'nchw' ? declared.slice(2, 4) : declared.slice(1, 3);
  return {
    height: options.height ?? (typeof height === 'number' ? height : undefined),
    width: options.width ?? (typeof width === 'number' ? width : undefined),
  };
}

function resize(image: Image, options: ImageInput, size: { height?: number; width?: number }): Resized {
  const { height = image.height, width = image.width } = size;
  switch (options.fit) {
    case 'stretch':
      return stretch(image, width, height);
    case 'letterbox':
      return letterbox(image, width, height, { colour: options.padding, anchor: options.anchor });
    case 'centre-crop':
      return centreCrop(image, width, height, options.fraction);
    case 'fit-height':
      return fitHeight(image, height, { ...options, colour: options.padding });
    case 'limit-side':
      return limitSide(image, options.limit, options.multiple);
  }
}

/** Exif orientations of pictures that a counterclockwise turn sets upright (CIPA DC-008, 4.6.4). */
const orientationOfTurn = new Map([
  [0, 1],
  [90, 8],
  [180, 3],
  [270, 6],
]);

/** `degrees` counterclockwise. Throws for other angles than quarter turns. */
export function turned(image: Image, degrees: unknown): Image {
  const orientation = orientationOfTurn.get(degrees as number);
  if (orientation === undefined) throw new Error(`turn: expected 0, 90, 180 or 270, got ${JSON.stringify(degrees)}`);
  return turnUpright(image, orientation);
}

/** The part of the picture that a region outlines: its `points` (four corners) or its `box`. */
export function cutOut(image: Image, region: unknown): Image {
  const { points, box } = (region ?? {}) as { points?: unknown; box?: unknown };
  if (Array.isArray(points) && points.length === 4) return cropQuad(image, points as unknown as Quad);
  if (Array.isArray(box) && box.length === 4) return cropBox(image, box as [number, number, number, number]);
  throw new Error(`each: expected regions with "points" or a "box", got ${JSON.stringify(region)?.slice(0, 60)}`);
}
