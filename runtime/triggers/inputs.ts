/** What a stage feeds its model: each input from the message, a region, an earlier output, a constant or its own past. */
import { type DataType, elementCount, type Tensor, type ValueDescription } from '../engine/tensor.ts';
import type { Placement } from '../media/resize.ts';
import type { Decoded } from './decode.ts';
import { converted, fitted, shaped } from './numbers.ts';
import { preparePicture } from './picture.ts';
import type { PostInput } from './post/step.ts';
import { plainPicture, type StageInput } from './schema.ts';

/** What a run sees: the message, or one window or one region of it. */
export interface StageSource {
  readonly content: Decoded['content'];
  readonly window?: PostInput['window'];
  /** Outputs of earlier stages for the same message, by `stage.output`. */
  readonly earlier: ReadonlyMap<string, Tensor>;
}

/** A model's input with what the trigger says about it. `place` begins its error messages. */
export interface Feed {
  readonly input: ValueDescription;
  readonly given: StageInput;
  readonly place: string;
}

export interface Prepared {
  readonly tensor: Tensor;
  readonly placement?: Placement;
  /** Made here, for this run alone. */
  readonly isNew?: true;
}

/** Throws an Error that begins with the feed's place when what came does not suit the model. */
export function prepareInput(feed: Feed, { content, earlier }: StageSource): Prepared {
  const { input, given, place } = feed;
  // Names are checked when the stage is made: an output that is named here has been computed.
  if (given.from?.includes('.')) return { tensor: suited(feed, earlier.get(given.from) as Tensor) };
  switch (content.kind) {
    case 'image': {
      const { tensor, placement } = preparePicture(content.image, given.image ?? plainPicture, input.dims);
      return { tensor: suited(feed, tensor), placement, isNew: true };
    }
    case 'numbers':
      return { tensor: suited(feed, content.tensor) };
    case 'tensors': {
      const name = given.from ?? input.name;
      const tensor = content.tensors[name];
      if (tensor) return { tensor: suited(feed, tensor) };
      const names = Object.keys(content.tensors).join(', ') || 'none';
      throw new Error(`${place}: expected a tensor "${name}" in the message, it has ${names}`);
    }
  }
}

/** The tensor in the shape and type that the model declares. */
export function suited({ input, given, place }: Feed, tensor: Tensor): Tensor {
  const laidOut = given.dims ? shaped(tensor, given.dims, place) : tensor;
  return converted(fitted(laidOut, input.dims, place), input.type as DataType, place);
}

export function constantTensor(feed: Feed): Tensor {
  const { constant } = feed.given;
  const data = Float64Array.from([constant as number | number[]].flat());
  return suited(feed, { type: 'float64', dims: Array.isArray(constant) ? [data.length] : [], data });
}

/** A recurrent input before the stream's first run. */
export function initialTensor(feed: Feed): Tensor {
  const dims = feed.given.dims ?? (feed.input.dims as readonly number[]);
  return suited(feed, { type: 'float32', dims, data: new Float32Array(elementCount(dims)) });
}
