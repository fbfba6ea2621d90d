/**
 * Says how many answers of the fleet are right. It knows from the feeds' notes (sent.ts) what was sent when, from
 * materials/truth.json what is really in it, and hears the fleet's results. No clock and no sockets of its own.
 *
 * Rules, by trigger:
 * - vehicle-speed-limit: right when the number is the limit on the sign.
 * - factory-labels: right when exactly the printed lines were read, in any order, spaces ignored: how wide a gap makes
 *   a word is a matter of the typeface, and PaddleOCR's own metric ignores it too (ppocr/metrics/rec_metric.py).
 * - city-speech: right when the intersection of the stretch with a true one, over their union, is at least 0.5.
 * A second answer to the same picture or stretch is wrong, and so is any answer where there is nothing.
 */
import * as z from 'zod';
import { SENT_FILTER, type SentNote } from './sent.ts';
import type { DeviceKind, Truth } from './truth.ts';

export interface Score {
  readonly trigger: string;
  readonly right: number;
  readonly wrong: number;
  /** Something was there, and no answer came within PATIENCE_MS. */
  readonly missed: number;
  /** Nothing was there, and no answer came. */
  readonly quiet: number;
  /** The latest wrong or missed one in words. */
  readonly lastMistake: string | undefined;
}

export interface Judge {
  /** Filters of all that the judge wants to hear. */
  readonly subscriptions: readonly string[];
  /** Ignores devices that no feed has announced, so that anybody may send messages of their own. */
  message(topic: string, payload: Uint8Array): void;
  /** `now` in milliseconds since the epoch. */
  scores(now: number): Score[];
}

export const PATIENCE_MS = 30_000;
const OVERLAP_MIN = 0.5;
const SAMPLE_RATE = 16_000;

/** A picture, a true stretch of speech, or a recording in which nobody speaks. Times in milliseconds since the epoch. */
interface Expectation {
  readonly device: string;
  readonly file: string;
  readonly from: number;
  readonly to: number;
  /** The right answer in words; undefined where no answer is the right one. */
  readonly wanted: string | undefined;
  answered: boolean;
}

/** What a result claims: an answer in words about a moment or a stretch of time. */
interface Claim {
  readonly answer: string;
  readonly from: number;
  readonly to: number;
}

interface Rule {
  readonly kind: DeviceKind;
  readonly trigger: string;
  /** Filter of the trigger's results; the `+` is the device. */
  readonly results: string;
  expect(note: SentNote, truth: Truth): Pick<Expectation, 'from' | 'to' | 'wanted'>[];
  /** Throws when the result is not what the trigger publishes. */
  claim(body: unknown): Claim;
  /** The expectation that the claim is about. */
  find(open: readonly Expectation[], claim: Claim): Expectation | undefined;
}

const noteSchema = z.object({
  kind: z.enum(['city-microphone', 'factory-camera', 'vehicle-camera']),
  file: z.string(),
  at: z.number(),
});
const meta = z.object({ receivedAt: z.number() });
const limitResult = z.object({ limit: z.number(), meta });
const labelResult = z.object({ texts: z.array(z.string()), meta });
const speechResult = z.object({
  start: z.number(),
  end: z.number(),
  meta: meta.extend({ window: z.object({ start: z.number(), length: z.number() }) }),
});

const rules: readonly Rule[] = [
  {
    kind: 'vehicle-camera',
    trigger: 'vehicle-speed-limit',
    results: 'vehicle/+/speed-limit',
    expect: ({ file, at }, truth) => {
      const limit = truth['vehicle-camera'][file]?.limitKmh ?? null;
      return [{ from: at, to: at, wanted: limit === null ? undefined : String(limit) }];
    },
    claim: (body) => {
      const { limit, meta } = limitResult.parse(body);
      return { answer: String(limit), from: meta.receivedAt, to: meta.receivedAt };
    },
    find: latestPicture,
  },
  {
    kind: 'factory-camera',
    trigger: 'factory-labels',
    results: 'factory/+/labels',
    expect: ({ file, at }, truth) => [
      { from: at, to: at, wanted: labelText(truth['factory-camera'][file]?.texts ?? []) },
    ],
    claim: (body) => {
      const { texts, meta } = labelResult.parse(body);
      return { answer: labelText(texts), from: meta.receivedAt, to: meta.receivedAt };
    },
    find: latestPicture,
  },
  {
    kind: 'city-microphone',
    trigger: 'city-speech',
    results: 'city/+/speech',
    expect: ({ file, at }, truth) => {
      const { seconds = 0, speech = [] } = truth['city-microphone'][file] ?? {};
      if (speech.length === 0) return [{ from: at, to: at + 1000 * seconds, wanted: undefined }];
      return speech.map(({ startS, endS }) => ({ from: at + 1000 * startS, to: at + 1000 * endS, wanted: 'speech' }));
    },
    // The stream's own clock began with the first sample that the node heard: the end of the window that ended the
    // stretch, which is also the time at which its message came, ties it to the feed's.
    claim: (body) => {
      const { start, end, meta } = speechResult.parse(body);
      const heardS = (meta.window.start + meta.window.length) / SAMPLE_RATE;
      const at = (streamS: number) => meta.receivedAt - 1000 * (heardS - streamS);
      return { answer: 'speech', from: at(start), to: at(end) };
    },
    find: bestOverlap,
  },
];

export function createJudge(truth: Truth): Judge {
  const courts = rules.map((rule) => createCourt(rule, truth));
  return {
    subscriptions: [SENT_FILTER, ...rules.map((rule) => rule.results)],
    message(topic, payload) {
      const [first, device = '', last] = topic.split('/');
      if (first === 'demo' && last === 'sent') {
        const note = decodeNote(payload);
        if (note) courts.find(({ kind }) => kind === note.kind)?.sent(device, note);
      } else courts.find(({ results }) => results === `${first}/+/${last}`)?.answered(device, payload);
    },
    scores: (now) => courts.map((court) => court.score(now)),
  };
}

/** One rule at work. */
function createCourt(rule: Rule, truth: Truth) {
  let open: Expectation[] = [];
  const score = { right: 0, wrong: 0, missed: 0, quiet: 0 };
  let lastMistake: string | undefined;

  return {
    kind: rule.kind,
    results: rule.results,
    sent(device: string, note: SentNote): void {
      for (const expected of rule.expect(note, truth))
        open.push({ device, file: note.file, ...expected, answered: false });
    },
    answered(device: string, payload: Uint8Array): void {
      const own = open.filter((expectation) => expectation.device === device);
      if (own.length === 0) return;
      const claim = claimOf(rule, payload);
      const found = claim && rule.find(own, claim);
      const right = found && !found.answered && found.wanted === claim.answer;
      if (right) score.right++;
      else {
        score.wrong++;
        lastMistake = found
          ? `${found.file}: "${claim.answer}"${found.answered ? ' once more' : ''}, expected "${found.wanted ?? 'nothing'}"`
          : `${device}: ${claim ? `"${claim.answer}" where nothing was` : 'a result that is none'}`;
      }
      if (found) found.answered = true;
    },
    score(now: number): Score {
      const due = open.filter((expectation) => expectation.to + PATIENCE_MS < now);
      open = open.filter((expectation) => expectation.to + PATIENCE_MS >= now);
      for (const { answered, wanted, file } of due) {
        if (answered) continue;
        if (wanted === undefined) score.quiet++;
        else {
          score.missed++;
          lastMistake = `${file}: no answer, expected "${wanted}"`;
        }
      }
      return { trigger: rule.trigger, ...score, lastMistake };
    },
  };
}

/** Gives undefined for a payload that is no note. */
export function decodeNote(payload: Uint8Array): SentNote | undefined {
  try {
    return noteSchema.parse(JSON.parse(new TextDecoder().decode(payload)));
  } catch {
    return undefined;
  }
}

function claimOf(rule: Rule, payload: Uint8Array): Claim | undefined {
  try {
    return rule.claim(JSON.parse(new TextDecoder().decode(payload)));
  } catch {
    return undefined;
  }
}

function labelText(texts: readonly string[]): string {
  return texts
    .map((line) => line.replaceAll(' ', ''))
    .sort()
    .join(' | ');
}

/** A picture is received after it was taken and before the next one is: both clocks are this machine's. */
function latestPicture(open: readonly Expectation[], claim: Claim): Expectation | undefined {
  return open.findLast((expectation) => expectation.from <= claim.from);
}

/** The true stretch that is meant; or else the silent recording, or nothing, that was taken for speech. */
function bestOverlap(open: readonly Expectation[], claim: Claim): Expectation | undefined {
  const speech = open.filter(({ wanted }) => wanted !== undefined);
  const best = speech.toSorted((a, b) => overlap(b, claim) - overlap(a, claim))[0];
  if (best && overlap(best, claim) >= OVERLAP_MIN) return best;
  return open.find((expectation) => expectation.wanted === undefined && overlap(expectation, claim) > 0);
}

/** Intersection over union of two stretches of time, 0 to 1. */
export function overlap(a: { from: number; to: number }, b: { from: number; to: number }): number {
  const common = Math.min(a.to, b.to) - Math.max(a.from, b.from);
  return common <= 0 ? 0 : common / (Math.max(a.to, b.to) - Math.min(a.from, b.from));
}
