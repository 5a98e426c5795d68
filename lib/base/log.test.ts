import { closeSync, openSync } from 'node:fs';
import { expect, test } from 'vitest';
import { createLogger, LineWriter } from './log.ts';

test('a full disk is no concern of the code that logs', () => {
  const fd = openSync('/dev/full', 'w');
  const log = createLogger({ component: 'test', fd });
  expect(() => log.error({ err: new Error('x') }, 'this line is lost')).not.toThrow();
  expect(() => log.child({ part: 'p' }).warn({}, 'this one too')).not.toThrow();
  closeSync(fd);
  expect(() => log.info({}, 'no file at all')).not.toThrow();
});

test('lines that were lost are counted once there is room again, and a line cut short is ended', () => {
  let room = 6;
  let text = '';
  const out = new LineWriter((bytes, at) => {
    if (room === 0) throw new Error('ENOSPC');
    const n = Math.min(room, bytes.length - at);
    room -= n;
    text += bytes.toString('utf8', at, at + n);
    return n;
  });
  out.write('one\n');
  out.write('two\n');
  out.write('three\n');
  expect(text).toBe('one\ntw');
  room = 1000;
  out.write('four\n');
  out.write('five\n');
  const lines = text.split('\n');
  expect(lines[2]).toContain('"lost":2,"msg":"log lines were lost"');
  expect([...lines.slice(0, 2), ...lines.slice(3)]).toEqual(['one', 'tw', 'four', 'five', '']);
});
