/**
 * One-off inference on request. The input is read and the answer written as one of the node's triggers does it, when one
 * runs that model on that kind of input: its stages, post-processing and fields, without its rate limit and deadline, and without its
 * condition unless it looks at a stream in windows. Several results (windows) come back as a list.
 *
 * Without such a trigger the model is run on its own, and the answer is its tensors `{ name: { type, dims, data } }`:
 *   image    scaled to the input's declared size, RGB, values 0 to 1
 *   audio    WAV at 16 kHz, or 16-bit little-endian samples, as one row of floats
 *   json     an array of numbers, in the input's declared shape
 *   tensors  a safetensors file with the model's inputs by name
 */
import type { Model } from '../engine/model.ts';
import { PAYLOAD_BYTES_MAX, type Reply, type Request } from '../protocol/messages.ts';
import type { createPipeline } from '../triggers/pipeline.ts';
import { readSafetensors } from '../triggers/safetensors.ts';
import { modelsOf, type Trigger, triggerSchema } from '../triggers/schema.ts';
import type { LoadedModel } from '../triggers/stage.ts';

const WAITING_MAX = 32;
const NUMBERS_MAX = 100_000;

export interface RequestPorts {
  readonly node: string;
  readonly now: () => number;
  readonly createPipeline: typeof createPipeline;
  loaded(name: string): LoadedModel | undefined;
  /** Names of the models that are ready, for the error message. */
  readyModels(): string[];
  triggers(): readonly Trigger[];
  /** A blob of the controller. */
  fetchInput(sha256: string): Promise<Uint8Array>;
}

export interface Requests {
  /** Never rejects: what goes wrong is in the reply. Requests are answered one after the other. `priority`: the trigger's when absent. */
  answer(request: Request, priority?: Trigger['priority']): Promise<Reply>;
}

export function createRequests(ports: RequestPorts): Requests {
  let last: Promise<unknown> = Promise.resolve();
  let waiting = 0;

  const inTurn = async (request: Request, priority: Trigger['priority'] | undefined): Promise<Reply> => {
    const { id } = request;
    try {
      const result = await infer(ports, request, priority);
      if (JSON.stringify(result).length > PAYLOAD_BYTES_MAX - 1000)
        throw new Error(`the answer exceeds ${PAYLOAD_BYTES_MAX} bytes; use a trigger that reduces it`);
      return { id, ok: true, result };
    } catch (error) {
      return { id, ok: false, error: `infer ${request.model}: ${(error as Error).message}` };
    }
  };
  return {
    answer(request, priority) {
      if (waiting >= WAITING_MAX) {
        const error = `infer ${request.model}: ${WAITING_MAX} requests are waiting already; try again later`;
        return Promise.resolve({ id: request.id, ok: false, error });
      }
      waiting++;
      const reply = last.then(() => inTurn(request, priority));
      last = reply.finally(() => waiting--);
      return reply;
    },
  };
}

async function infer(
  ports: RequestPorts,
  request: Request,
  priority: Trigger['priority'] | undefined,
): Promise<unknown> {
  const late = ports.now() - request.expiresAt;
  if (late > 0) throw new Error(`the request expired ${Math.round(late)} ms ago; send it again`);
  const asked = ports.loaded(request.model);
  if (!asked) {
    const ready = ports.readyModels().join(', ') || 'none';
    throw new Error(`no such model is ready on node "${ports.node}"; ready: ${ready}`);
  }
  const { input, format } = request;
  const payload = 'base64' in input ? Buffer.from(input.base64, 'base64') : await ports.fetchInput(input.sha256);
  const known = ports
    .triggers()
    .find((trigger) => modelsOf(trigger).includes(request.model) && formatOf(trigger) === format);
  const answering = known ? onRequest(known) : plainTrigger(request.model, asked.model, format);
  const trigger = { ...answering, priority: priority ?? answering.priority };
  const models = (name: string): LoadedModel => {
    const found = ports.loaded(name);
    if (!found) throw new Error(`model "${name}", which trigger "${trigger.name}" also runs, is not ready`);
    return found;
  };
  const { results } = await ports.createPipeline(trigger, { node: ports.node, models }).handle({
    topic: trigger.topic.replace(/\{\w+\}|[+#]/g, 'request'),
    payload,
    receivedAt: ports.now(),
  });
  const values = results.map((result) => answerOf(trigger, result.payload));
  return values.length === 1 ? values[0] : values;
}

function formatOf({ decode }: Trigger): Request['format'] | undefined {
  if (decode.format === 'raw' || decode.format === 'csv') return undefined;
  return decode.format;
}

function onRequest(trigger: Trigger): Trigger {
  // Who asks once waits for the answer.
  const { rate: _, deadlineMs: __, when, ...rest } = trigger;
  return rest.window && when !== undefined ? { ...rest, when } : rest;
}

function plainTrigger(name: string, model: Model, format: Request['format']): Trigger {
  const decode = {
    image: { format: 'image' },
    audio: { format: 'audio', rate: 16_000, raw: 'int16' },
    json: { format: 'json', values: '$' },
    tensors: { format: 'tensors' },
  }[format];
  const inputs = Object.fromEntries(
    model.inputs.map(({ name, dims }) => {
      if (format === 'tensors') return [name, { from: name }];
      if (format !== 'image') return [name, {}];
      const layout = dims[3] === 3 || dims[3] === 1 ? 'nhwc' : 'nchw';
      const channels = layout === 'nhwc' ? dims[3] : dims[1];
      return [name, { image: { layout, order: channels === 1 ? 'gray' : 'rgb' } }];
    }),
  );
  const stages = [{ name: 'answer', model: name, inputs }];
  return triggerSchema.parse({ name, topic: 'request', decode, stages, output: { topic: 'reply', tensors: 'answer' } });
}

function answerOf(trigger: Trigger, payload: Uint8Array): unknown {
  if (trigger.output.tensors === undefined) return JSON.parse(new TextDecoder().decode(payload));
  const { tensors } = readSafetensors(payload);
  const count = Object.values(tensors).reduce((sum, { data }) => sum + data.length, 0);
  if (count > NUMBERS_MAX)
    throw new Error(
      `the answer has ${count} numbers, at most ${NUMBERS_MAX} fit a reply; use a trigger that reduces it`,
    );
  return Object.fromEntries(
    Object.entries(tensors).map(([name, { type, dims, data }]) => [
      name,
      { type, dims, data: Array.from(data, Number) },
    ]),
  );
}
