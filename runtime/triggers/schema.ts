/**
 * A trigger in its written form: which messages it answers, how they become tensors, which models see them, and what
 * is published. docs/triggers.md explains every field with complete examples.
 * A key that is added has no `default`: the controller would send it to nodes of earlier versions, which refuse what they do not know.
 */
import * as z from 'zod';
import { problemsOf } from './checks.ts';
import { postSteps } from './post/index.ts';

const triggerName = z
  .string()
  .regex(/^[A-Za-z0-9_-]{1,64}$/, 'expected letters, digits, _ and - only, 1 to 64 of them');
/** Stages, fields and `let` are variables in expressions; `__proto__` must not become a key of a plain object. */
const variable = z
  .string()
  .regex(/^(?!__)[A-Za-z_]\w{0,63}$/, 'expected a name of letters, digits and _, not beginning with a digit or __');
const expression = z.string().min(1).max(2000).describe('CEL');
const jsonPath = z.string().startsWith('$', 'expected a JSONPath (RFC 9535), which begins with "$"').max(1000);
const dims = z.array(z.int().min(-1)).max(8).describe('-1 once: whatever is left');
const positive = z.int().positive();
const side = positive.max(4096);
const perChannel = z.array(z.number()).min(1).max(3);
const column = z.union([z.int().nonnegative(), z.string().min(1)], {
  error: 'expected a column by position from 0, or by name',
});

const rawTypes = [
  'int8',
  'uint8',
  'int16',
  'uint16',
  'int32',
  'uint32',
  'int64',
  'uint64',
  'float32',
  'float64',
] as const;

const decodeSchema = z.discriminatedUnion(
  'format',
  [
    z.strictObject({
      format: z.literal('json'),
      /** Paths to numbers or arrays of numbers, joined in this order. */
      values: z.union([jsonPath, z.array(jsonPath).min(1).max(1000)], {
        error: 'expected a JSONPath such as "$.values", or a list of them',
      }),
      dims: dims.optional(),
      /** What identifies the message: its id or timestamp, passed on in the result. */
      id: jsonPath.optional(),
    }),
    z.strictObject({
      format: z.literal('raw'),
      /** Element type, little-endian. */
      type: z.enum(rawTypes),
      dims: dims.optional(),
      scale: z.number().default(1),
    }),
    z.strictObject({
      format: z.literal('audio'),
      /** Samples per second that the model expects; a WAV file of another rate is resampled. */
      rate: positive,
      /** How to read a payload that is not a WAV file; without it only WAV is accepted. */
      raw: z.enum(['int8', 'uint8', 'int16', 'int32', 'float32']).optional(),
    }),
    z.strictObject({ format: z.literal('image') }),
    z.strictObject({
      format: z.literal('csv'),
      /** By position from 0, or by name. */
      columns: z.array(column).min(1).max(10_000),
      /** true: the first line of each message names the columns; or the names themselves. */
      header: z
        .union([z.boolean(), z.array(z.string()).min(1)], { error: 'expected true, false or a list of names' })
        .default(false),
      delimiter: z.string().length(1).default(','),
      id: column.optional(),
    }),
    z.strictObject({ format: z.literal('tensors') }),
  ],
  { error: 'expected json, raw, audio, image, csv or tensors' },
);

const windowSchema = z
  .strictObject({
    /** New samples in a window. */
    length: positive.max(4_000_000),
    /** Samples from one window's start to the next; the window's length when absent. */
    hop: positive.max(4_000_000).optional(),
    /** Samples before the window that the model sees again; zeros at the stream's start. */
    context: z.int().nonnegative().max(4_000_000).default(0),
    /** Samples per second, to tell times; the audio's own when absent. */
    rate: z.number().positive().optional(),
    /** A longer pause between two messages starts the stream afresh. */
    gapMs: z.number().positive().optional(),
  })
  .refine((window) => (window.hop ?? window.length) <= window.length, {
    path: ['hop'],
    error: "expected at most the window's length: a longer hop would skip samples",
  });

const imageInputSchema = z.strictObject({
  /** How the picture comes to the model's size; runtime/media/resize.ts says what each does. */
  fit: z.enum(['stretch', 'letterbox', 'centre-crop', 'fit-height', 'limit-side']).default('stretch'),
  /** Size of the model's input; absent: what the model itself declares. */
  height: side.optional(),
  width: side.optional(),
  /** letterbox: where the picture goes. */
  anchor: z.enum(['corner', 'centre']).optional(),
  /** centre-crop: the crop's share of the resized picture. */
  fraction: z.number().gt(0).max(1).optional(),
  /** limit-side: longest side in pixels. */
  limit: side.default(960),
  /** limit-side: both sides become a multiple of this; fit-height: the width does. */
  multiple: positive.max(1024).optional(),
  /** fit-height: bounds of the width. */
  widthMin: side.optional(),
  widthMax: side.default(2048),
  /** Colour of the padding, 0 to 255 a channel. */
  padding: perChannel.optional(),
  order: z.enum(['rgb', 'bgr', 'gray']).default('rgb'),
  layout: z.enum(['nchw', 'nhwc']).default('nchw'),
  /** Each element is (pixel · scale − mean) / std, per channel in the order above. */
  scale: z.number().default(1 / 255),
  mean: perChannel.optional(),
  std: perChannel.optional(),
});

const inputSchema = z
  .strictObject({
    /** A picture: the message's, or the region's in a stage with `each`. */
    image: imageInputSchema.optional(),
    /** A fixed value, for example a sample rate. */
    constant: z
      .union([z.number(), z.array(z.number()).max(100_000)], { error: 'expected a number or a list of numbers' })
      .optional(),
    /** Name of the output that comes back as this input with the stream's next message; zeros at its start. */
    recurrent: z.string().min(1).optional(),
    /** Another tensor than the message: `stage.output`, or a name in a `tensors` message. */
    from: z.string().min(1).optional(),
    /** Shape of this input, where the model leaves it open. */
    dims: dims.optional(),
  })
  .refine((input) => ['image', 'constant', 'recurrent', 'from'].filter((key) => key in input).length <= 1, {
    error: 'expected only one of image, constant, recurrent and from',
  });

const postSchema = z
  .looseObject({
    step: z.enum(Object.keys(postSteps) as [string, ...string[]]),
  })
  .superRefine(({ step, ...options }, context) => {
    const found = postSteps[step]?.options.safeParse(options);
    for (const issue of found?.error?.issues ?? []) context.addIssue({ ...issue, input: undefined } as never);
  });

const stageSchema = z.strictObject({
  name: variable,
  model: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, 'expected the name of a model'),
  /** A faster model for the same inputs and outputs: it is run when an answer of the model itself would come too late. */
  smaller: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,64}$/, 'expected the name of a model')
    .optional(),
  /** Name of an earlier stage whose result is a list of regions: run once for each, on the part of the picture it outlines. */
  each: variable.optional(),
  /** With `each`: how far to turn the cut-out counterclockwise before the model sees it: 0, 90, 180 or 270 degrees. */
  turn: expression.optional(),
  /** By the model's input name; an input that is not listed gets the message (or the region's picture). */
  inputs: z.record(z.string(), inputSchema).default({}),
  /** What to make of the outputs: a step of runtime/triggers/post/index.ts with its options. */
  post: postSchema.optional(),
});

/** What may wait of the trigger's results while the broker is away. */
const keepSchema = z
  .strictObject({
    /** Topics and payloads together; the oldest of the trigger's results makes room. */
    bytesMax: positive.max(128 * 2 ** 20).optional(),
    /** A result that has waited longer is of no use. */
    ageMsMax: z.number().positive().optional(),
    /** A result takes the place of those before it on its topic. */
    newestOnly: z.boolean().optional(),
  })
  .refine((keep) => Object.values(keep).some((value) => value !== undefined), {
    error: 'expected bytesMax, ageMsMax or newestOnly',
  });

const outputSchema = z
  .strictObject({
    topic: z.string().max(1000),
    qos: z.literal([0, 1]).default(0),
    retain: z.boolean().default(false),
    /** Names and expressions of the JSON result; every stage's result under its name when absent. */
    fields: z.record(variable, expression).optional(),
    /** Publish this stage's tensors as safetensors instead of JSON. */
    tensors: z.string().optional(),
    /** One short sentence for people, as a CEL expression that gives text. */
    summary: expression.optional(),
    /** How each run fared: for what it waited and how long, when and where it was computed. */
    account: z.boolean().optional(),
    keep: keepSchema.optional(),
  })
  .refine((output) => !(output.fields && output.tensors), { error: 'expected fields or tensors, not both' })
  .refine((output) => !output.fields || !('meta' in output.fields), {
    path: ['fields'],
    error: '"meta" is added by the node',
  });

export const priorities = ['safety', 'interactive', 'normal', 'background'] as const;

const triggerObject = z.strictObject({
  name: triggerName,
  description: z.string().max(1000).optional(),
  /** A filter with named levels: `city/{device}/audio`. */
  topic: z.string().max(1000),
  qos: z.literal([0, 1]).default(0),
  decode: decodeSchema,
  window: windowSchema.optional(),
  stages: z.array(stageSchema).min(1).max(16),
  /** Named intermediate values, each an expression that may use the ones before it. */
  let: z.record(variable, expression).optional(),
  /** Publish only when this CEL expression is true. */
  when: expression.optional(),
  /** At most `max` results in any `perMs`, for each stream. */
  rate: z.strictObject({ max: positive.max(1000), perMs: z.number().positive() }).optional(),
  output: outputSchema,
  priority: z.enum(priorities).default('normal'),
  /** An answer later than this after the message is of no use. */
  deadlineMs: z.number().positive().optional(),
  /** A message whose answer would come too late, or does, is reported as an error, or skipped and counted. */
  late: z.enum(['report', 'skip']).optional(),
  /** Whose share and quota of the node its runs take. */
  tenant: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,64}$/, 'expected the name of a tenant')
    .optional(),
});

/** What one field cannot tell of itself is checked by checks.ts, once every field is right. */
export const triggerSchema = triggerObject.superRefine((trigger, context) => {
  for (const { path, message } of problemsOf(trigger)) context.addIssue({ code: 'custom', path: [...path], message });
});

export type Trigger = z.output<typeof triggerObject>;
export type Stage = Trigger['stages'][number];
export type StageInput = Stage['inputs'][string];
export type ImageInput = z.output<typeof imageInputSchema>;
/** How a picture is prepared where a trigger says nothing. */
export const plainPicture: ImageInput = imageInputSchema.parse({});
export type Decode = Trigger['decode'];

/** A trigger is replaced as a whole, so its list is made once: steps of a node and of a fleet ask for it again and again. */
const modelsMade = new WeakMap<Trigger, readonly string[]>();

/** Names of the models that the trigger runs, each once. */
export function modelsOf(trigger: Trigger): readonly string[] {
  const made = modelsMade.get(trigger);
  if (made) return made;
  const all = trigger.stages.flatMap(({ model, smaller }) => (smaller === undefined ? [model] : [model, smaller]));
  const names = [...new Set(all)];
  modelsMade.set(trigger, names);
  return names;
}
