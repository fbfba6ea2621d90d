import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { createStyle } from '../../../fleet/cli/style.ts';
import { watch } from '../../../fleet/commands/watch.ts';

test('a topic or payload from elsewhere cannot command the terminal of the person who watches', () => {
  const line = watch.renderEvent?.(
    { topic: 'a/\u001b[2Jb', at: 0, json: { text: '\u009b31m\u0007' } },
    createStyle(false),
  );
  assert.is(line, '00:00:00.000 a/\uFFFD[2Jb {"text":"\uFFFD31m\\u0007"}');
});

test.run();
