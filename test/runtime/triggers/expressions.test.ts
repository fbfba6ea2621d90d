import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { compileExpression } from '../../../runtime/triggers/expressions.ts';

function evaluate(text: string, scope: Record<string, unknown>): unknown {
  return compileExpression(text, Object.keys(scope)).evaluate(scope);
}

test('expressions see plain results and give plain results', () => {
  const cases: [text: string, scope: Record<string, unknown>, expected: unknown][] = [
    ['score > 0.5', { score: 0.7 }, true],
    ['score > 1', { score: 0.7 }, false],
    ['top[0].label + "!"', { top: [{ label: 'cat' }] }, 'cat!'],
    ['size(all)', { all: [1, 2, 3] }, 3],
    [
      'all.filter(item, item.ok).map(item, {"n": item.n, "half": item.n / 2})',
      {
        all: [
          { n: 3, ok: true },
          { n: 4, ok: false },
        ],
      },
      [{ n: 3, half: 1.5 }],
    ],
    ['int("50")', {}, 50],
    ['value == null', { value: null }, true],
    ['"5" in ["5", "10"]', {}, true],
    ['{"a": 1, "b": "x"}', {}, { a: 1, b: 'x' }],
    ['speed * 2 + 1', { speed: 1.5 }, 4],
    ['10 - speed', { speed: 1.5 }, 8.5],
  ];
  for (const [text, scope, expected] of cases) assert.equal(evaluate(text, scope), expected, text);
});

test('mistakes are found when the expression is compiled, and the sentence names it', () => {
  const cases: [text: string, sentence: string][] = [
    ['scor > 0.5', 'expression "scor > 0.5": Unknown variable: scor'],
    ['score >', 'expression "score >": Unexpected token: EOF'],
    ['"a" + 1', `expression ""a" + 1": no such overload: string + int`],
  ];
  assert.throws(() => compileExpression('1', ['list']), /^"list" has a meaning in expressions; choose another name$/);
  for (const [text, sentence] of cases) {
    assert.throws(
      () => compileExpression(text, ['score']),
      (error: Error) => error.message === sentence,
    );
  }
});

test('a failure at work names the expression', () => {
  assert.throws(() => evaluate('a.b > 1', { a: {} }), /^expression "a\.b > 1": No such key: b$/);
  assert.throws(() => evaluate('all[3]', { all: [1] }), /^expression "all\[3\]": /);
  assert.throws(
    () => evaluate('timestamp(0)', {}),
    /expected text, a number, true or false, null, a list or a map, got Date/,
  );
});

test('a pattern that would backtrack for years is answered', () => {
  let answered = 0;
  for (const pattern of ['^(a+)+$', '^(a|a)*$', '^(a|aa)+$', '(.*)*x$']) {
    assert.is(evaluate('text.matches(pattern)', { text: `${'a'.repeat(60)}!`, pattern }), false);
    answered++;
  }
  assert.is(answered, 4);
});

test("an object's inherited properties are out of reach", () => {
  for (const key of ['constructor', '__proto__', 'toString'])
    assert.throws(() => evaluate(`a.${key}`, { a: {} }), /No such key/);
});

test.run();
