/** A desired state from the broker or from disk, checked: as a whole, then trigger by trigger. */
import { desiredEnvelopeSchema, parsePayload, trialSchema } from '../protocol/messages.ts';
import { triggerSchema } from '../triggers/schema.ts';
import type { CheckedDesired } from './node-state.ts';

/** Throws an Error that names the topic when the payload is no desired state at all. */
export function checkDesired(topic: string, payload: Uint8Array): CheckedDesired {
  const { triggers: unchecked, trials: given = [], ...rest } = parsePayload(desiredEnvelopeSchema, topic, payload);
  // One that this node cannot read does not take place: nothing is compared, and so nothing is changed.
  const trials = given.flatMap((one) => trialSchema.safeParse(one).data ?? []);
  const triggers: CheckedDesired['triggers'] = [];
  const refused: { name: string; error: string }[] = [];
  for (const trigger of unchecked) {
    const result = triggerSchema.safeParse(trigger);
    if (result.success) {
      triggers.push(result.data);
      continue;
    }
    const issue = result.error.issues[0];
    const error = `trigger "${trigger.name}": ${issue?.path.join('.') || 'trigger'}: ${issue?.message}`;
    refused.push({ name: trigger.name, error });
  }
  return { ...rest, triggers, ...(trials.length > 0 && { trials }), refused };
}
