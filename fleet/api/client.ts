/** A controller on the other side of HTTP, as the same ControllerService that it is at home. */

import { Readable } from 'node:stream';
import type { Trigger } from '../../runtime/triggers/schema.ts';
import type { FleetProblem } from '../controller/fleet-problem.ts';
import type {
  ControllerService,
  InferRequest,
  LiveResult,
  ModelView,
  NodeSelector,
  NodeView,
  TriggerView,
} from '../controller/service.ts';
import type { SettingsAdmin, SettingsExplanation, SettingsView } from '../controller/settings-service.ts';
import type { SoftwareAdmin, SoftwareView } from '../controller/software-service.ts';
import type { Rollouts } from '../rollouts/rollout-service.ts';
import type { RolloutDetail, RolloutView } from '../rollouts/view.ts';
import type { Schedule } from '../tasks/schedule.ts';
import type { Schedules } from '../tasks/schedule-service.ts';
import type { Tasks } from '../tasks/task-service.ts';
import type { TaskDetail, TaskView } from '../tasks/view.ts';

/** A large model is read and checked in this time; an inference may take its own time beside it. */
const ANSWER_MS = 120_000;

/** Nobody answers at the address: what was asked has not happened. */
export class UnreachableError extends Error {}

export class ControllerClient implements ControllerService {
  readonly #url: string;

  /** @param url for example http://127.0.0.1:7700. Throws an Error when it is no such address; nothing is asked yet. */
  constructor(url: string) {
    const parsed = URL.parse(url);
    if (parsed?.protocol !== 'http:' && parsed?.protocol !== 'https:')
      throw new Error(`--controller "${url}": expected an address such as http://127.0.0.1:7700`);
    this.#url = parsed.href.replace(/\/$/, '');
  }

  /** Runs a command over there. Rejects with the reason when it is refused. @param name words joined by dots */
  async command(name: string, args: object, timeoutMs = ANSWER_MS): Promise<unknown> {
    const response = await this.#request(`/v1/commands/${name}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(args),
      signal: AbortSignal.timeout(timeoutMs),
    });
    return resultOf(response);
  }

  nodes = () => this.command('nodes', {}) as Promise<NodeView[]>;

  models = () => this.command('models.list', {}) as Promise<ModelView[]>;

  modelVersions = (name: string) => this.command('models.show', { name }) as Promise<ModelView[]>;

  addModel = (name: string, sha256: string, labels?: readonly string[], registerOnly = false) =>
    this.command('models.add', { name, sha256, labels, registerOnly }) as Promise<ModelView>;

  async removeModel(name: string): Promise<void> {
    await this.command('models.remove', { name });
  }

  triggers = () => this.command('triggers.list', {}) as Promise<TriggerView[]>;

  putTrigger = (trigger: Trigger, selector: NodeSelector) =>
    this.command('triggers.add', { trigger, selector }) as Promise<TriggerView>;

  async removeTrigger(name: string): Promise<void> {
    await this.command('triggers.remove', { name });
  }

  async putBlob(sha256: string, content: AsyncIterable<Uint8Array>): Promise<{ bytes: number }> {
    const response = await this.#request(`/v1/blobs/${sha256}`, {
      method: 'PUT',
      body: Readable.toWeb(Readable.from(content)) as ReadableStream<Uint8Array>,
      duplex: 'half',
    });
    return (await resultOf(response)) as { bytes: number };
  }

  async infer(node: string, request: InferRequest, timeoutMs: number): Promise<unknown> {
    const answer = await this.command('infer', { ...request, node, timeoutMs }, timeoutMs + ANSWER_MS);
    return (answer as { result: unknown }).result;
  }

  placement = () => this.command('placement.problem', {}) as Promise<FleetProblem>;

  readonly tasks: Tasks = {
    add: (spec) => this.command('tasks.add', spec) as Promise<TaskView>,
    list: (state) => this.command('tasks.list', { state }) as Promise<TaskView[]>,
    show: (id, results) => this.command('tasks.show', { id, results }) as Promise<TaskDetail>,
    cancel: (id) => this.command('tasks.cancel', { id }) as Promise<TaskView>,
  };

  readonly schedules: Schedules = {
    put: (spec) => this.command('schedules.add', spec) as Promise<Schedule>,
    list: () => this.command('schedules.list', {}) as Promise<Schedule[]>,
    remove: async (name) => void (await this.command('schedules.remove', { name })),
  };

  readonly rollouts: Rollouts = {
    start: (spec) => this.command('rollouts.start', spec) as Promise<RolloutDetail>,
    list: () => this.command('rollouts.list', {}) as Promise<RolloutView[]>,
    show: (id) => this.command('rollouts.show', { id }) as Promise<RolloutDetail>,
    pause: (id) => this.command('rollouts.pause', { id }) as Promise<RolloutView>,
    resume: (id) => this.command('rollouts.resume', { id }) as Promise<RolloutView>,
    abort: (id) => this.command('rollouts.abort', { id }) as Promise<RolloutView>,
  };

  readonly settings: SettingsAdmin = {
    put: (settings) => this.command('settings.set', settings) as Promise<SettingsView>,
    list: () => this.command('settings.list', {}) as Promise<SettingsView[]>,
    remove: async (name) => void (await this.command('settings.remove', { name })),
    explain: (node) => this.command('settings.explain', { node }) as Promise<SettingsExplanation>,
  };

  readonly software: SoftwareAdmin = {
    add: (manifest) => this.command('software.add', manifest) as Promise<SoftwareView>,
    list: () => this.command('software.list', {}) as Promise<SoftwareView[]>,
    remove: async (version) => void (await this.command('software.remove', { version })),
  };

  async watch(filter: string, onResult: (result: LiveResult) => void, signal: AbortSignal): Promise<void> {
    try {
      const response = await this.#request(`/v1/watch?filter=${encodeURIComponent(filter)}`, { signal });
      if (!response.ok || !response.body) await resultOf(response);
      for await (const { event, data } of readEvents(response.body as ReadableStream<Uint8Array>)) {
        if (event === 'refused') throw new Error(JSON.parse(data).error);
        if (event !== 'result') continue;
        const { topic, payload, at } = JSON.parse(data);
        onResult({ topic, payload: Buffer.from(payload, 'base64'), at });
      }
      throw new Error(`the connection to the controller at ${this.#url} ended; watch again`);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  async #request(path: string, init: RequestInit & { duplex?: 'half' }): Promise<Response> {
    try {
      return await fetch(this.#url + path, init);
    } catch (cause) {
      if (init.signal?.aborted && (init.signal.reason as Error).name === 'TimeoutError')
        throw new Error(`the controller at ${this.#url} did not answer in time; is the machine overloaded?`, { cause });
      const code = ((cause as Error).cause as NodeJS.ErrnoException | undefined)?.code ?? '';
      if (['ECONNREFUSED', 'ENOTFOUND', 'EHOSTUNREACH', 'EAI_AGAIN', 'ETIMEDOUT'].includes(code))
        throw new UnreachableError(
          `no controller at ${this.#url}: start one with "llmasos up" or give --controller URL`,
          {
            cause,
          },
        );
      throw new Error(`the connection to the controller at ${this.#url} broke off${code && ` (${code})`}; try again`, {
        cause,
      });
    }
  }
}

async function resultOf(response: Response): Promise<unknown> {
  const answer = (await response.json().catch(() => undefined)) as
    | { ok?: boolean; result?: unknown; error?: string }
    | undefined;
  if (answer?.ok === true) return answer.result;
  throw new Error(
    answer?.error ??
      `${response.url}: expected a controller's answer, got status ${response.status}; is this its address?`,
  );
}

/** Events in a stream, by the part of the standard's grammar that watch-route.ts uses: `event:` and one `data:` line. */
async function* readEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<{ event: string; data: string }> {
  let text = '';
  for await (const chunk of body.pipeThrough(new TextDecoderStream() as never) as unknown as AsyncIterable<string>) {
    const blocks = (text + chunk).split('\n\n');
    text = blocks.pop() ?? '';
    for (const block of blocks) {
      const fields = new Map(
        block
          .split('\n')
          .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trimStart()]),
      );
      const data = fields.get('data');
      if (data !== undefined) yield { event: fields.get('event') ?? 'message', data };
    }
  }
}
