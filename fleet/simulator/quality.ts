/** Triggers and models of simulated nodes; some versions do harm, and how much is written into their size. */
import type { Software } from '../../runtime/protocol/software.ts';
import { type Trigger, triggerSchema } from '../../runtime/triggers/schema.ts';
import type { AssignedModel } from '../controller/desired.ts';
import type { Chance } from './random.ts';

export type Quality = 'good' | 'answers otherwise' | 'does not load' | 'fails messages' | 'takes the process down';

const BYTES: Record<Quality, number> = {
  good: 1_000,
  'answers otherwise': 1_004,
  'does not load': 1_001,
  'fails messages': 1_002,
  'takes the process down': 1_003,
};
const QUALITIES = Object.keys(BYTES) as Quality[];

export function simModel(name: string, version: number, quality: Quality = 'good'): AssignedModel {
  const sha256 = Buffer.from(`${name}/${version}`).toString('hex').padStart(64, '0');
  return { name, version, sha256, bytes: BYTES[quality] };
}

export function qualityOf({ bytes }: Pick<AssignedModel, 'bytes'>): Quality {
  return QUALITIES.find((quality) => BYTES[quality] === bytes) ?? 'good';
}

export function anyQuality(chance: Chance): Quality {
  return chance.happens(0.5) ? 'good' : chance.pick(QUALITIES);
}

/** What a version of the node's program does. */
export type SoftwareQuality =
  | 'good'
  | 'cannot be installed'
  | 'ends at once'
  | 'ends before it is proved'
  | 'does nothing'
  | 'does not connect'
  | 'loads no model';

const SOFTWARE_QUALITIES: readonly SoftwareQuality[] = [
  ...(['good', 'cannot be installed', 'ends at once', 'ends before it is proved'] as const),
  ...(['does nothing', 'does not connect', 'loads no model'] as const),
];

export function simSoftware(version: string, quality: SoftwareQuality): Software {
  const name = Buffer.from(version).toString('hex').padStart(63, '0');
  return { version, sha256: `${name}${SOFTWARE_QUALITIES.indexOf(quality)}`, bytes: 1 };
}

/** @param sha256 undefined: the program that the machine came with */
export function softwareQualityOf(sha256: string | undefined): SoftwareQuality {
  return SOFTWARE_QUALITIES[Number(sha256?.at(-1) ?? 0)] as SoftwareQuality;
}

export function anySoftwareQuality(chance: Chance): SoftwareQuality {
  return chance.happens(0.5) ? 'good' : chance.pick(SOFTWARE_QUALITIES);
}

/** What a simulated model says to an input. */
export function answerTo(text: string): string {
  return `answer to ${text}`;
}

/** @param revision makes another form of it */
export function simTrigger(name: string, model: string, revision: number): Trigger {
  return triggerSchema.parse({
    name,
    topic: `sensors/${revision}`,
    decode: { format: 'json', values: '$.v' },
    stages: [{ name: 'answer', model }],
    output: { topic: 'answers', fields: { at: 'message.receivedAt' } },
  });
}
