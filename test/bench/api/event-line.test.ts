import { describe, expect, test } from 'vitest';
import { eventLine, sentTimes } from './event-line.ts';

describe('lines of bench events', () => {
  test('a line has the length asked for and gives its time back', () => {
    const line = eventLine(1_764_000_000_123.7, 700);
    expect(line.byteLength).toBe(700);
    expect(sentTimes(line)).toEqual([1_764_000_000_123]);
    expect(JSON.parse(line.toString())).toMatchObject({ sent: '1764000000123' });
  });

  test('several lines in one piece, the last one cut within its time', () => {
    const one = eventLine(1_764_000_000_001, 100);
    const two = eventLine(1_764_000_000_002, 100);
    expect(sentTimes(Buffer.concat([one, two, one.subarray(0, 12)]))).toEqual([1_764_000_000_001, 1_764_000_000_002]);
  });
});
