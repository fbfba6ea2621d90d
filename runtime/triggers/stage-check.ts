/** Whether a model can be fed as a stage says, found out when the trigger is made and not with its first message. */
import type { Model } from '../engine/model.ts';
import { arrayOf, type DataType, type ValueDescription } from '../engine/tensor.ts';
import { toTensor } from '../media/to-tensor.ts';
import { constantTensor, type Feed, initialTensor, suited } from './inputs.ts';
import { dimsText } from './numbers.ts';
import { declaredSize } from './picture.ts';
import { type ImageInput, plainPicture, type Stage, type StageInput, type Trigger } from './schema.ts';

/** Outputs of the stages before this one, by `stage.output`. */
export type EarlierOutputs = ReadonlyMap<string, ValueDescription>;

/** Throws an Error that names the trigger, the stage and the input, and what the model wants there. */
export function checkStage(trigger: Trigger, stage: Stage, model: Model, earlier: EarlierOutputs): void {
  const place = stagePlace(trigger, stage);
  const wanted = model.inputs.map(({ name, type, dims }) => `"${name}" ${type} ${dimsText(dims)}`).join(', ');
  for (const name of Object.keys(stage.inputs)) {
    if (model.inputs.some((input) => input.name === name)) continue;
    throw new Error(`${place}: the model has no input "${name}", it wants ${wanted}`);
  }
  const { format } = trigger.decode;
  const fromMessage = model.inputs.filter(({ name }) => feedsMessage(stage.inputs[name] ?? {}));
  if (fromMessage.length > 1 && format !== 'tensors') {
    const names = fromMessage.map(({ name }) => `"${name}"`).join(' and ');
    throw new Error(`${place}: inputs ${names} would all get the message; say under "inputs" what the others get`);
  }
  for (const feed of feedsOf(trigger, stage, model)) {
    if (!isDense(feed.input.type)) throw new Error(`${feed.place}: ${feed.input.type} cannot be made from messages`);
    checkFeed(feed, trigger, stage, model, earlier);
  }
}

export function stagePlace(trigger: Trigger, stage: Stage): string {
  return `trigger "${trigger.name}", stage "${stage.name}" (model "${stage.model}")`;
}

export function feedsOf(trigger: Trigger, stage: Stage, model: Model): Feed[] {
  return model.inputs.map((input) => ({
    input,
    given: stage.inputs[input.name] ?? {},
    place: `${stagePlace(trigger, stage)}, input "${input.name}"`,
  }));
}

/** The message, or the window or region made of it. */
function feedsMessage(given: StageInput): boolean {
  return given.constant === undefined && given.recurrent === undefined && given.from === undefined;
}

function isDense(type: string): type is DataType {
  return arrayOf(type as DataType) !== undefined;
}

function checkFeed(feed: Feed, trigger: Trigger, stage: Stage, model: Model, earlier: EarlierOutputs): void {
  const { given, place } = feed;
  const { format } = trigger.decode;
  if (given.recurrent !== undefined) checkRecurrent(feed, stage, model);
  else if (given.constant !== undefined) constantTensor(feed);
  else if (given.from?.includes('.')) {
    if (earlier.has(given.from)) return;
    const names = [...earlier.keys()].join(', ') || 'none';
    throw new Error(
      `${place}: expected the output of an earlier stage without "each", got "${given.from}"; there is ${names}`,
    );
  } else if (given.from !== undefined && format !== 'tensors') {
    throw new Error(`${place}: only "tensors" messages have named tensors, this trigger decodes "${format}"`);
  } else if (format === 'image') checkPicture(feed);
  else if (given.image) throw new Error(`${place}: "image" needs decode.format "image", got "${format}"`);
  else {
    const dims = messageDims(trigger);
    // Only the shape is looked at: the element type is converted later.
    if (dims) suited(feed, { type: feed.input.type as DataType, dims, data: new Float32Array(0) });
  }
}

function checkRecurrent(feed: Feed, stage: Stage, model: Model): void {
  const { input, given, place } = feed;
  const output = model.outputs.find(({ name }) => name === given.recurrent);
  if (!output) {
    const names = model.outputs.map(({ name }) => name).join(', ');
    throw new Error(`${place}: the model has no output "${given.recurrent}" to feed back, it has ${names}`);
  }
  if (output.type !== input.type) {
    throw new Error(`${place}: expected an output of type ${input.type}, "${given.recurrent}" is ${output.type}`);
  }
  if (stage.each !== undefined) throw new Error(`${place}: regions are not a stream: no recurrent input with "each"`);
  if (!given.dims && !input.dims.every((dim) => typeof dim === 'number')) {
    throw new Error(`${place}: the model leaves ${dimsText(input.dims)} open: give "dims" for the zeros at the start`);
  }
  initialTensor(feed);
}

function checkPicture({ input, given, place }: Feed): void {
  const options = given.image ?? plainPicture;
  const { dims } = input;
  if (dims.length !== 4) throw new Error(`${place}: a picture has 4 dimensions, the model wants ${dimsText(dims)}`);
  const channels = options.layout === 'nchw' ? dims[1] : dims[3];
  const drawn = options.order === 'gray' ? 1 : 3;
  if (typeof channels === 'number' && channels !== drawn) {
    throw new Error(
      `${place}: the model wants ${dimsText(dims)}, layout ${options.layout} with order ${options.order} gives ${drawn} channels there`,
    );
  }
  checkNormalisation(place, options);
  const { height, width } = declaredSize(options, dims);
  const open = options.fit === 'limit-side' ? [] : options.fit === 'fit-height' ? [height] : [height, width];
  if (open.includes(undefined)) {
    throw new Error(`${place}: the model leaves ${dimsText(dims)} open: give image.height and image.width`);
  }
  const declared = declaredSize({ ...options, height: undefined, width: undefined }, dims);
  for (const key of ['height', 'width'] as const) {
    if (declared[key] !== undefined && options[key] !== undefined && declared[key] !== options[key]) {
      throw new Error(`${place}: the model wants ${key} ${declared[key]}, image.${key} is ${options[key]}`);
    }
  }
}

/** Numbers that do not suit the channels show with any picture. */
function checkNormalisation(place: string, options: ImageInput): void {
  try {
    toTensor({ width: 1, height: 1, channels: 3, data: new Uint8Array(3) }, options);
  } catch (cause) {
    throw new Error(`${place}: ${(cause as Error).message}`, { cause });
  }
}

/** Shape of what the message gives, where it is known beforehand. */
function messageDims({ decode, window }: Trigger): readonly number[] | undefined {
  if (window) return decode.format === 'audio' ? [window.context + window.length] : undefined;
  if (decode.format !== 'json' && decode.format !== 'raw') return undefined;
  return decode.dims?.every((dim) => dim >= 0) ? decode.dims : undefined;
}
