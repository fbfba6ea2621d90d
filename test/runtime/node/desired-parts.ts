/** Desired states as tests of the node's machine write them. */
import type { CheckedDesired } from '../../../runtime/node/node-state.ts';
import type { Trigger } from '../../../runtime/triggers/schema.ts';

/** Of a node that starts for the first time. */
export const fresh = { proofs: new Map(), hold: null };
export const sha = (seed: string) => seed.padStart(64, '0');
export const model = (name: string, version = 1, hash = `${version}`) => ({
  name,
  version,
  sha256: sha(hash),
  bytes: 10,
});
export const trigger = (name: string, ...models: string[]) =>
  ({
    name,
    topic: 'a',
    output: { topic: 'b' },
    stages: models.map((model) => ({ name: model, model })),
  }) as unknown as Trigger;

export function desired(version: number, models: ReturnType<typeof model>[], triggers: Trigger[]): CheckedDesired {
  return { version, at: 0, files: 'http://controller/blobs', models, triggers, refused: [] };
}
