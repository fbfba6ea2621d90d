/** Payloads of the topics in topics.ts: UTF-8 JSON, checked on both sides. Unknown keys are ignored, so that versions can differ. */
import * as z from 'zod';
import { triggerSchema } from '../triggers/schema.ts';
import { desiredSettingsSchema, reportedSettingSchema } from './settings.ts';
import { reportedSoftwareSchema, softwareSchema } from './software.ts';
import { NAME_PATTERN } from './topics.ts';

/** Largest control payload; larger things travel over HTTP. */
export const PAYLOAD_BYTES_MAX = 1_000_000;
/** Brackets within brackets: what goes deeper can be parsed and not written again, and would stop whoever has to keep it. */
const PAYLOAD_LEVELS_MAX = 100;

export const nameSchema = z.string().regex(NAME_PATTERN, 'letters, digits, _ and - only, 1 to 64 of them');
export const hashSchema = z.string().regex(/^[0-9a-f]{64}$/, 'a SHA-256 in 64 hexadecimal digits');
/** W3C Trace Context; one that cannot be read is as good as none. */
export const traceparentSchema = z.string().max(200).optional();
const time = z.number().describe('milliseconds since the epoch');

export const HOLD_CHARACTERS_MAX = 200;

/** From whoever stands beside the node and knows when it must not be changed: a vehicle in motion, a press that is closed. */
export const holdSchema = z.object({
  hold: z.boolean(),
  reason: z.string().min(1).max(HOLD_CHARACTERS_MAX).default('it was asked to be'),
});

export const presenceSchema = z.object({ online: z.boolean(), at: time });

const inventorySchema = z.object({
  version: z.string(),
  node: z.string().describe('Node.js version'),
  platform: z.string(),
  architecture: z.string(),
  cores: z.number().int(),
  memoryBytes: z.number(),
  /** The kernel build in use: 'revectorized' (256 bit), 'relaxed' or 'plain' (128 bit); before the first model, what the host can. */
  simd: z.string(),
  gpu: z.object({ usable: z.boolean(), detail: z.string() }),
});

/** Class names or a character table that belongs to a model, one entry an index; as a blob, this array in JSON. */
export const labelsSchema = z.array(z.string()).max(100_000);

/** A model as the registry describes it; `files` are fetched over HTTP from the controller by hash. */
const modelSchema = z.object({
  name: nameSchema,
  version: z.number().int().positive(),
  sha256: hashSchema,
  bytes: z.number().int().nonnegative(),
  chunks: hashSchema.optional().describe('of the list of its chunks, a blob beside it; absent where it is one chunk'),
  labels: labelsSchema.optional(),
});

/** Forms to be run beside those that serve, on the same messages, and compared with them. */
export const trialSchema = z.object({
  id: nameSchema.describe('of the rollout'),
  /** They take the place of models and triggers of the same name. */
  models: z.array(modelSchema.omit({ labels: true }).extend({ labels: hashSchema.optional() })),
  triggers: z.array(triggerSchema),
});

export const desiredSchema = z.object({
  /** Grows with every change; a node ignores what is older than what it has. */
  version: z.number().int().nonnegative(),
  at: time,
  /** Base URL of the controller's HTTP side, for model files: GET {files}/{sha256}, with Range. */
  files: z.string(),
  /** `labels` is the hash of a blob that holds them (`labelsSchema` as JSON), fetched like the model. */
  models: z.array(modelSchema.omit({ labels: true }).extend({ labels: hashSchema.optional() })),
  triggers: z.array(triggerSchema),
  trials: z.array(trialSchema).max(50).optional(),
  settings: desiredSettingsSchema.optional(),
  software: softwareSchema.optional().describe('the version of its own program; absent: whichever it is'),
});

/**
 * The same before its triggers are checked: a node checks them one by one, so that one which it cannot read (written by a
 * newer controller, say) is reported and does not stop the others.
 */
export const desiredEnvelopeSchema = desiredSchema.extend({
  triggers: z.array(z.looseObject({ name: nameSchema })),
  trials: z.array(z.unknown()).max(50).optional(),
});

const itemStateSchema = z.object({
  name: z.string(),
  state: z.enum(['waiting', 'downloading', 'loading', 'ready', 'failed']),
  /** What is wrong, where, what was expected, what to do; only with `failed`, and with triggers that are `provisional`. */
  error: z.string().optional(),
  /** With `failed`: it is tried again by itself. */
  retrying: z.literal(true).optional(),
});

const comparedSchema = z.object({
  messages: z.int().nonnegative(),
  agreed: z.int().nonnegative(),
  failuresBefore: z.int().nonnegative(),
  failuresNew: z.int().nonnegative(),
  skipped: z.int().nonnegative().describe('messages that the new form did not see because the node was busy'),
  beforeMs: z.number().nonnegative(),
  newMs: z.number().nonnegative(),
  drift: z.number().nonnegative().describe("the largest shift of a number's mean, in standard deviations"),
});

export const reportedSchema = z.object({
  at: time,
  labels: z.record(z.string(), z.string()),
  /** What the node knows beyond the first version: `tasks`. A controller asks nothing else of it. */
  features: z.array(z.string()).max(100).optional(),
  inventory: inventorySchema,
  /** The desired version that the node has reached (everything ready or failed for a stated reason). */
  desiredVersion: z.number().int().nonnegative(),
  models: z.array(
    itemStateSchema.extend({
      version: z.number().int().optional(),
      sha256: hashSchema.optional(),
      engine: z.enum(['llmasos', 'onnxruntime']).optional(),
      fallbackReason: z.string().optional(),
    }),
  ),
  triggers: z.array(
    itemStateSchema.extend({
      /** It runs in its new form, which has yet to prove itself; the form before, if any, is kept. With `error`: what speaks against it. */
      provisional: z.literal(true).optional(),
    }),
  ),
  /** How the new forms do that run beside those that serve: an entry for each trial and trigger. */
  trials: z
    .array(
      z.object({
        id: z.string(),
        trigger: z.string(),
        state: z.enum(['waiting', 'running', 'failed']),
        error: z.string().optional(),
        compared: comparedSchema.optional(),
      }),
    )
    .optional(),
  /** Of each setting that the desired state names: whether it is in force. */
  settings: z.array(reportedSettingSchema).max(200).optional(),
  /** Of nodes that can be given another version of their program. */
  software: reportedSoftwareSchema.optional(),
  /** Why nothing that runs is changed at present; absent when it may be. */
  held: z.string().max(HOLD_CHARACTERS_MAX).optional(),
});

const triggerMetricsSchema = z.object({
  name: z.string(),
  messages: z.number().int(),
  results: z.number().int(),
  failures: z.number().int(),
  dropped: z.number().int(),
  /** Message received to result handed to the broker, over the last 1,000. */
  latencyMsP50: z.number().nullable(),
  latencyMsP99: z.number().nullable(),
  lastResult: z.string().nullable(),
  lastError: z.string().nullable(),
});

const classSchema = z.enum(['safety', 'interactive', 'normal', 'background']);

/** What a node computes and how long messages wait for it, of the last minute or so: what `llmasos capacity` reckons with. */
const loadSchema = z.object({
  /** Messages that are computed at a time. */
  servers: z.number().int().positive(),
  /** By arrival: a message waits for all before it. By class: the more urgent one interrupts. */
  order: z.enum(['arrival', 'class']),
  streams: z.array(
    z.object({
      trigger: z.string(),
      class: classSchema,
      perSecond: z.number().nonnegative(),
      /** Mean and second moment of the time that the node works on one message, in milliseconds; null before the first. */
      serviceMs: z.number().nonnegative().nullable(),
      serviceMsSquared: z.number().nonnegative().nullable(),
    }),
  ),
  /** For the message before it, and for a core, over the last 1,000 of each trigger. */
  waits: z.array(
    z.object({
      class: classSchema,
      count: z.number().int(),
      meanMs: z.number(),
      p50Ms: z.number(),
      p99Ms: z.number(),
    }),
  ),
});

/** What models take of the memory that they share. */
const memorySchema = z.object({
  budgetBytes: z.number(),
  usedBytes: z.number(),
  models: z.array(
    z.object({
      name: z.string(),
      /** Weights, programs and runs; 0 while it is not loaded. */
      bytes: z.number(),
      pinned: z.boolean(),
      loaded: z.boolean(),
      /** How often it made room for others, since it was loaded first. */
      unloads: z.number().int(),
    }),
  ),
  /** Names to be pinned that no model has. */
  pinnedUnknown: z.array(z.string()),
});

export const metricsSchema = z.object({
  at: time,
  uptimeMs: z.number(),
  residentBytes: z.number(),
  outboxItems: z.number().int(),
  /** Results given up because the outbox was full, since the node started. */
  outboxDropped: z.number().int().optional(),
  /** Messages of the controller that did not fit their schema, since the node started. */
  refusedMessages: z.number().int().optional(),
  triggers: z.array(triggerMetricsSchema),
  load: loadSchema.optional(),
  /** Absent before the first model. */
  memory: memorySchema.optional(),
});

/** One-off inference. `input` is decoded like a trigger's message; large inputs go by blob hash. */
export const requestSchema = z.object({
  id: z.string(),
  kind: z.literal('infer'),
  expiresAt: time,
  model: nameSchema,
  /** Inline, base64; or the hash of a blob on the controller. */
  input: z.union([z.object({ base64: z.string() }), z.object({ sha256: hashSchema })]),
  /** How to read the input and write the answer: a trigger's `decode`, `stages` and `output`, or just the format. */
  format: z.enum(['image', 'audio', 'json', 'tensors']),
  traceparent: traceparentSchema,
});

export const replySchema = z.union([
  z.object({ id: z.string(), ok: z.literal(true), result: z.unknown() }),
  z.object({ id: z.string(), ok: z.literal(false), error: z.string() }),
]);

/** Published on errorTopic(node, trigger). */
export const messageErrorSchema = z.object({
  at: time,
  node: z.string(),
  trigger: z.string(),
  topic: z.string(),
  error: z.string(),
});

export type Hold = z.infer<typeof holdSchema>;
export type Presence = z.infer<typeof presenceSchema>;
export type Inventory = z.infer<typeof inventorySchema>;
export type Trial = z.infer<typeof trialSchema>;
export type DesiredState = z.infer<typeof desiredSchema>;
export type ReportedState = z.infer<typeof reportedSchema>;
export type TriggerMetrics = z.infer<typeof triggerMetricsSchema>;
export type Metrics = z.infer<typeof metricsSchema>;
export type NodeMemory = z.infer<typeof memorySchema>;
export type NodeLoad = z.infer<typeof loadSchema>;
export type Request = z.infer<typeof requestSchema>;
export type Reply = z.infer<typeof replySchema>;
export type MessageError = z.infer<typeof messageErrorSchema>;

/** Parses and checks a payload. Throws an Error that names the topic and the first thing that is wrong. */
export function parsePayload<T>(schema: z.ZodType<T>, topic: string, payload: Uint8Array): T {
  if (payload.byteLength > PAYLOAD_BYTES_MAX)
    throw new Error(`${topic}: expected at most ${PAYLOAD_BYTES_MAX} bytes, got ${payload.byteLength}`);
  if (isDeeper(payload, PAYLOAD_LEVELS_MAX))
    throw new Error(`${topic}: expected at most ${PAYLOAD_LEVELS_MAX} levels of brackets, got more`);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload));
  } catch (cause) {
    throw new Error(`${topic}: expected JSON in UTF-8, got something else`, { cause });
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new Error(`${topic}: ${issue?.path.join('.') || 'payload'}: ${issue?.message}`, { cause: result.error });
}

const [QUOTE, BACKSLASH, OPEN_BRACKET, CLOSE_BRACKET, OPEN_BRACE, CLOSE_BRACE] = [0x22, 0x5c, 0x5b, 0x5d, 0x7b, 0x7d];

/** Whether a text in JSON nests deeper; of anything else it says something. */
function isDeeper(text: Uint8Array, levelsMax: number): boolean {
  let [level, inString] = [0, false];
  for (let at = 0; at < text.length; at++) {
    const byte = text[at];
    if (inString) {
      if (byte === BACKSLASH) at++;
      else if (byte === QUOTE) inString = false;
    } else if (byte === QUOTE) inString = true;
    else if (byte === OPEN_BRACKET || byte === OPEN_BRACE) {
      if (++level > levelsMax) return true;
    } else if (byte === CLOSE_BRACKET || byte === CLOSE_BRACE) level--;
  }
  return false;
}
