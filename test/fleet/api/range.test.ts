import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseRange } from '../../../fleet/api/range.ts';

// RFC 9110, section 14.1.2: its own examples for a representation of 10,000 bytes, and the rules around them.
const cases: [string | undefined, number, ReturnType<typeof parseRange>][] = [
  ['bytes=0-499', 10_000, { start: 0, end: 499 }],
  ['bytes=500-999', 10_000, { start: 500, end: 999 }],
  ['bytes=-500', 10_000, { start: 9500, end: 9999 }],
  ['bytes=9500-', 10_000, { start: 9500, end: 9999 }],
  ['bytes=0-0', 10_000, { start: 0, end: 0 }],
  ['bytes=9990-20000', 10_000, { start: 9990, end: 9999 }],
  ['bytes=-20000', 10_000, { start: 0, end: 9999 }],
  ['bytes=10000-', 10_000, 'unsatisfiable'],
  ['bytes=-0', 10_000, 'unsatisfiable'],
  ['bytes=0-', 0, 'unsatisfiable'],
  ['bytes=-1', 0, 'unsatisfiable'],
  ['bytes=5-4', 10_000, 'whole'],
  ['bytes=0-0,-1', 10_000, 'whole'],
  ['lines=0-4', 10_000, 'whole'],
  ['bytes=-', 10_000, 'whole'],
  ['bytes=a-b', 10_000, 'whole'],
  [undefined, 10_000, 'whole'],
];

test('ranges are read as RFC 9110 says', () => {
  for (const [header, bytes, expected] of cases)
    assert.equal(parseRange(header, bytes), expected, `${header} of ${bytes}`);
  assert.is(cases.length, 17);
});

test.run();
