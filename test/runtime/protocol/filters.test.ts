import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { filterError, matchesFilter } from '../../../runtime/protocol/filters.ts';

test('filters match as the examples of MQTT 3.1.1, section 4.7 say', () => {
  const examples: [filter: string, topic: string, matches: boolean][] = [
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
    ['#', '$SYS/monitor/Clients', false],
    ['+/monitor/Clients', '$SYS/monitor/Clients', false],
    ['$SYS/#', '$SYS/monitor/Clients', true],
    ['$SYS/monitor/+', '$SYS/monitor/Clients', true],
    ['ACCOUNTS', 'Accounts', false],
  ];
  for (const [filter, topic, matches] of examples)
    assert.is(matchesFilter(filter, topic), matches, `${filter} on ${topic}`);
});

test('a malformed filter is refused with the clause it breaks', () => {
  for (const filter of ['', 'sport/tennis#', 'sport/tennis/#/ranking', 'sport+', 'a\0b', 'x'.repeat(65_536)])
    assert.ok(filterError(filter), `${filter} was accepted`);
  for (const filter of ['#', '+', '+/tennis/#', 'sport/+/player1', '/', 'a b/ü'])
    assert.is(filterError(filter), undefined);
});

test.run();
