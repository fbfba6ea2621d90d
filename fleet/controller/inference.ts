/** One-off inference on a node: requests that wait for the reply with their id. */
import type { Reply, ReportedState, Request } from '../../runtime/protocol/messages.ts';

/** Beyond this many at once a caller is told to wait instead of growing the queue. */
const PENDING_MAX = 1_000;

interface Pending {
  readonly node: string;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

export interface Inference {
  /** `send` gets the request when the answer is already being waited for. */
  ask(node: string, request: Request, timeoutMs: number, send: () => Promise<void>): Promise<unknown>;
  settle(node: string, reply: Reply): void;
  /** Gives every waiting caller an answer. */
  abandon(reason: string): void;
}

export function createInference(): Inference {
  const pending = new Map<string, Pending>();
  return {
    async ask(node, request, timeoutMs, send) {
      if (pending.size >= PENDING_MAX)
        throw new Error(`${PENDING_MAX} requests are waiting for answers; ask again when some have arrived`);
      let timer: NodeJS.Timeout | undefined;
      const answer = new Promise((resolve, reject) => {
        pending.set(request.id, { node, resolve, reject });
        timer = setTimeout(
          () =>
            reject(new Error(`node "${node}": no answer within ${timeoutMs} ms; is it overloaded? see its metrics`)),
          timeoutMs,
        );
      });
      try {
        // The time-out also counts while a broker that hangs does not confirm the request.
        return await Promise.race([answer, send().then(() => answer)]);
      } finally {
        clearTimeout(timer);
        pending.delete(request.id);
      }
    },
    settle(node, reply) {
      const waiting = pending.get(reply.id);
      // A reply that nobody waits for (too late, or another node's) is no error.
      if (waiting?.node !== node) return;
      if (reply.ok) waiting.resolve(reply.result);
      else waiting.reject(new Error(`node "${node}": ${reply.error}`));
    },
    abandon(reason) {
      for (const { reject } of pending.values()) reject(new Error(reason));
    },
  };
}

/** Why a node cannot run the model at the moment, or undefined; so that a caller need not wait for the time-out. */
export function inferProblem(
  node: string,
  online: boolean,
  reported: ReportedState | null,
  model: string,
): string | undefined {
  if (!online) return `node "${node}" is not online; "llmasos nodes" shows which are`;
  if (!reported) return `node "${node}" has not said yet which models it has; try again soon`;
  const held = reported.models.find(({ name }) => name === model);
  const ready = reported.models.filter(({ state }) => state === 'ready').map(({ name }) => name);
  const have = ready.length === 0 ? 'no model ready' : `ready: ${ready.join(', ')}`;
  if (!held)
    return `node "${node}" does not have model "${model}" (${have}); a trigger that uses the model brings it there`;
  if (held.state === 'failed') return `node "${node}": model "${model}" cannot be used there: ${held.error}`;
  if (held.state !== 'ready') return `node "${node}": model "${model}" is still ${held.state}; try again soon`;
  return undefined;
}
