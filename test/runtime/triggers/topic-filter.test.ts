import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseFilter, parseTemplate } from '../../../runtime/triggers/topic-filter.ts';

/** MQTT 3.1.1, sections 4.7.1 to 4.7.3: the standard's own examples. */
const matches: [filter: string, topic: string, expected: boolean][] = [
  ['sport/tennis/player1/#', 'sport/tennis/player1', true],
  ['sport/tennis/player1/#', 'sport/tennis/player1/ranking', true],
  ['sport/tennis/player1/#', 'sport/tennis/player1/score/wimbledon', true],
  ['sport/#', 'sport', true],
  ['#', 'sport/tennis', true],
  ['sport/tennis/+', 'sport/tennis/player1', true],
  ['sport/tennis/+', 'sport/tennis/player1/ranking', false],
  ['sport/+', 'sport', false],
  ['sport/+', 'sport/', true],
  ['+/+', '/finance', true],
  ['/+', '/finance', true],
  ['+', '/finance', false],
  ['+/tennis/#', 'sport/tennis', true],
  ['sport/+/player1', 'sport/tennis/player1', true],
  ['#', '$SYS/broker', false],
  ['+/monitor/Clients', '$SYS/monitor/Clients', false],
  ['$SYS/#', '$SYS/broker', true],
  ['$SYS/monitor/+', '$SYS/monitor/Clients', true],
  ['ACCOUNTS', 'Accounts', false],
];

test("filters match topics as the standard's examples say", () => {
  for (const [filter, topic, expected] of matches) {
    assert.is(parseFilter(filter).match(topic) !== undefined, expected, `${filter} and ${topic}`);
  }
});

test('named levels subscribe as single-level wildcards and give their values', () => {
  const filter = parseFilter('plant/{line}/+/{camera}/#');
  assert.is(filter.mqtt, 'plant/+/+/+/#');
  assert.equal(filter.variables, ['line', 'camera']);
  assert.equal(filter.match('plant/7/x/north/frames/1'), { line: '7', camera: 'north' });
  assert.equal(filter.match('plant/7/x/north'), { line: '7', camera: 'north' });
  assert.is(filter.match('plant/7/x'), undefined);
});

test('malformed filters are refused with the rule they break', () => {
  const refused: [filter: string, sentence: string][] = [
    ['', 'topic filter "": expected at least one character'],
    [
      'sport/tennis#',
      'topic filter "sport/tennis#": level "tennis#": a wildcard must fill its whole level: "+", "#" or "{name}"',
    ],
    ['sport/tennis/#/ranking', 'topic filter "sport/tennis/#/ranking": "#" is allowed only as the last level'],
    ['sport+', 'topic filter "sport+": level "sport+": a wildcard must fill its whole level: "+", "#" or "{name}"'],
    ['a/{x', 'topic filter "a/{x": level "{x": a wildcard must fill its whole level: "+", "#" or "{name}"'],
    ['a/{}', 'topic filter "a/{}": level "{}": a wildcard must fill its whole level: "+", "#" or "{name}"'],
    ['{a}/{a}', 'topic filter "{a}/{a}": {a} stands in two levels; give each its own name'],
    ['a/\0', 'topic filter "a/\0": the null character is not allowed'],
  ];
  for (const [filter, sentence] of refused)
    assert.throws(
      () => parseFilter(filter),
      (error: Error) => error.message === sentence,
      filter,
    );
  assert.throws(() => parseFilter('é'.repeat(40_000)), /expected at most 65535 bytes, got 80000/);
});

test('templates are filled with the levels, also within a level', () => {
  assert.is(
    parseTemplate('city/{device}/speech-of-{device}', ['device']).fill({ device: 'mic-1' }),
    'city/mic-1/speech-of-mic-1',
  );
  assert.throws(
    () => parseTemplate('a/{b}', ['c']),
    /topic "a\/\{b\}": \{b\} is not a level of the topic filter, which has \{c\}/,
  );
  assert.throws(() => parseTemplate('a/#', []), /no wildcards/);
});

test.run();
