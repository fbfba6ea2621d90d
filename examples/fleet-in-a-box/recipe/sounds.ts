/** The city microphone's recordings: synthetic speech over synthetic street, and where exactly somebody speaks. */
import { execFileSync } from 'node:child_process';
import type { Interval } from '../truth.ts';
import { addEvent, SAMPLE_RATE, type StreetEvent, scaleToRms, streetNoise } from './street.ts';

interface Utterance {
  readonly atS: number;
  readonly text: string;
  /** An espeak-ng voice, with its variant after a plus sign. */
  readonly voice: string;
  readonly wordsPerMinute: number;
  readonly levelDb: number;
}

interface Recording {
  readonly name: string;
  readonly seconds: number;
  readonly noiseDb: number;
  readonly utterances: readonly Utterance[];
  readonly events: readonly StreetEvent[];
}

const say = (atS: number, voice: string, wordsPerMinute: number, text: string, levelDb = -22): Utterance => ({
  atS,
  text,
  voice,
  wordsPerMinute,
  levelDb,
});
const car = (atS: number, levelDb: number, speedKmh: number): StreetEvent => ({ kind: 'car', atS, levelDb, speedKmh });
const horn = (atS: number, levelDb: number, lengthS: number): StreetEvent => ({ kind: 'horn', atS, levelDb, lengthS });

export const recordings: readonly Recording[] = [
  {
    name: 'bus-stop',
    seconds: 7,
    noiseDb: -35,
    utterances: [
      say(0.6, 'en-us', 165, 'Does this bus go to the central station?'),
      say(4, 'en-gb+f2', 170, 'Yes, it leaves in five minutes.'),
    ],
    events: [car(3.4, -27, 40)],
  },
  {
    name: 'crossing',
    seconds: 6.5,
    noiseDb: -34,
    utterances: [
      say(0.8, 'en-gb+f4', 160, 'Careful, there is a lorry coming.'),
      say(4, 'en-us+m3', 170, 'Thank you, I did not see it.'),
    ],
    events: [horn(3.3, -26, 0.35), car(5.9, -26, 50)],
  },
  {
    name: 'market',
    seconds: 7,
    noiseDb: -34,
    utterances: [
      say(0.5, 'en-gb-scotland', 170, 'Fresh apples and pears, two for one today.'),
      say(4.6, 'en-us+f3', 165, 'I will take four, please.'),
    ],
    events: [],
  },
  {
    name: 'doorway',
    seconds: 6.5,
    noiseDb: -37,
    utterances: [
      say(0.7, 'en-gb+m7', 160, 'Good morning, is anybody at home?'),
      say(4, 'en-gb-x-rp+f2', 165, 'One moment, I am on my way.'),
    ],
    events: [car(2.9, -30, 30)],
  },
  {
    name: 'taxi-rank',
    seconds: 6.5,
    noiseDb: -33,
    utterances: [
      say(1, 'en-us+m1', 175, 'Could you take us to the harbour?'),
      say(4.2, 'en-gb+m3', 170, 'Of course, please get in.'),
    ],
    events: [car(0.2, -26, 45)],
  },
  { name: 'traffic', seconds: 6, noiseDb: -32, utterances: [], events: [car(1.2, -19, 50), car(3.9, -21, 60)] },
  {
    name: 'horns',
    seconds: 5,
    noiseDb: -34,
    utterances: [],
    events: [horn(1.1, -24, 0.4), horn(2.9, -28, 0.25), car(4, -30, 40)],
  },
];

/** 16-bit samples and the intervals in which somebody speaks. */
export function makeRecording(recording: Recording, seed: number): { samples: Int16Array; speech: Interval[] } {
  const count = Math.round(recording.seconds * SAMPLE_RATE);
  const mix = streetNoise(count, recording.noiseDb, seed);
  for (const [index, event] of recording.events.entries()) addEvent(mix, event, seed * 100 + index);
  const speech: Interval[] = [];
  for (const utterance of recording.utterances) {
    const voice = scaleToRms(speak(utterance), utterance.levelDb);
    const start = Math.round(utterance.atS * SAMPLE_RATE);
    if (start + voice.length > count)
      throw new Error(
        `recording "${recording.name}": "${utterance.text}" ends after the recording, at ${(start + voice.length) / SAMPLE_RATE} s`,
      );
    voice.forEach((value, index) => {
      mix[start + index] = (mix[start + index] as number) + value;
    });
    const { startS, endS } = audibleInterval(voice);
    speech.push({ startS: round(utterance.atS + startS), endS: round(utterance.atS + endS) });
  }
  return {
    samples: Int16Array.from(mix, (value) => Math.max(-32768, Math.min(32767, Math.round(value * 32767)))),
    speech,
  };
}

/** espeak-ng's voice through a street: no deep bass or treble from a small microphone, a little echo from the walls. */
function speak(utterance: Utterance): Float32Array {
  const wav = execFileSync('espeak-ng', [
    '-v',
    utterance.voice,
    '-s',
    String(utterance.wordsPerMinute),
    '--stdout',
    utterance.text,
  ]);
  const raw = execFileSync(
    'sox',
    // -D: no dither, whose noise would differ from run to run. The WAV header on a pipe holds no length: -V1 hides the warning.
    [
      '-V1',
      '-D',
      '-t',
      'wav',
      '-',
      '-r',
      String(SAMPLE_RATE),
      '-c',
      '1',
      '-b',
      '16',
      '-e',
      'signed',
      '-t',
      'raw',
      '-',
      'norm',
      '-3',
      'highpass',
      '120',
      'lowpass',
      '6500',
      'echo',
      '0.9',
      '0.9',
      '23',
      '0.18',
      '41',
      '0.1',
    ],
    { input: wav },
  );
  return Float32Array.from({ length: raw.length / 2 }, (_, i) => raw.readInt16LE(i * 2) / 32768);
}

/** From the first to the last 10 ms that are less than 35 dB under the loudest: the voice alone, before the street is added. */
function audibleInterval(voice: Float32Array): Interval {
  const frame = SAMPLE_RATE / 100;
  const energies = Array.from({ length: Math.floor(voice.length / frame) }, (_, index) =>
    voice.subarray(index * frame, (index + 1) * frame).reduce((sum, value) => sum + value * value, 0),
  );
  const floor = Math.max(...energies) * 10 ** -3.5;
  const first = energies.findIndex((energy) => energy > floor);
  const last = energies.findLastIndex((energy) => energy > floor);
  return { startS: first / 100, endS: (last + 1) / 100 };
}

const round = (seconds: number) => Math.round(seconds * 1000) / 1000;
