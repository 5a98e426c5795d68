import { describe, expect, test } from 'vitest';
import type { Digest } from '#lib/base';
import type { ContainerId } from '../../runtime/runtime.ts';
import { Query } from '../http/query.ts';
import type { ContainerRecord } from '../parts.ts';
import type { ContainerConfig } from '../types.ts';
import { LogFrames } from './log-frames.ts';
import { logDetails, logSettings } from './log-options.ts';
import { logQuery } from './log-query.ts';

const at = (second: number): string => `2026-01-02T03:04:0${second}.000000123Z`;
const LOG = Buffer.from(
  [
    `${at(1)} stdout F one`,
    `${at(2)} stderr F two`,
    `${at(3)} stdout P thr`,
    `${at(4)} stdout F ee`,
    `${at(5)} stdout F `,
    '',
  ].join('\n'),
);

describe('log frames (moby logstream, stdcopy)', () => {
  const raw = { stdout: true, stderr: true, isMultiplexed: false };
  const text = (o: object): string => new LogFrames({ ...raw, ...o }).render(LOG).toString();

  test('raw bytes; a line in parts is one', () => expect(text({})).toBe('one\ntwo\nthree\n\n'));
  test('one stream of the two', () => {
    expect(text({ stderr: false })).toBe('one\nthree\n\n');
    expect(text({ stdout: false })).toBe('two\n');
  });
  test('timestamps and details: once a line, the time first', () => {
    expect(text({ timestamps: true, details: 'a=b', stdout: true, stderr: false })).toBe(
      `${at(1)} a=b one\n${at(3)} a=b three\n${at(5)} a=b \n`,
    );
  });
  test('since is included, after is not, until is', () => {
    expect(text({ since: at(2), until: at(4) })).toBe('two\nthree\n');
    expect(text({ after: at(2) })).toBe('three\n\n');
    const frames = new LogFrames({ ...raw, until: at(1) });
    expect([frames.render(LOG).toString(), frames.isPast, frames.lastTime]).toEqual(['one\n', true, at(1)]);
  });
  test('multiplexed: a frame a record, its length without the head', () => {
    const bytes = new LogFrames({ ...raw, isMultiplexed: true }).render(LOG);
    expect(bytes.subarray(0, 12)).toEqual(Buffer.from('\x01\0\0\0\0\0\0\x04one\n', 'latin1'));
    expect(bytes.subarray(12, 24)).toEqual(Buffer.from('\x02\0\0\0\0\0\0\x04two\n', 'latin1'));
    expect(bytes.subarray(24, 35)).toEqual(Buffer.from('\x01\0\0\0\0\0\0\x03thr', 'latin1'));
    expect(bytes.length).toBe(24 + 11 + 11 + 9);
  });
});

describe('what is asked of a log', () => {
  const ask = (text: string) => logQuery(new Query(text));

  test('neither stream is refused', () =>
    expect(() => ask('follow=1')).toThrow("must specify at least one of 'stdout' or 'stderr'"));
  test.each([
    ['10', '1970-01-01T00:00:10.000000000Z'],
    ['1767323045.5', '2026-01-02T03:04:05.500000000Z'],
    ['1767323045.123456789', '2026-01-02T03:04:05.123456789Z'],
    ['1767323045.1234567899', '2026-01-02T03:04:05.123456789Z'],
    ['-62135596800', '1970-01-01T00:00:00.000000000Z'],
    ['99999999999999', '9999-12-31T23:59:59.000000000Z'],
  ])('since %s', (text, wanted) => expect(ask(`stdout=1&since=${text}`).since).toBe(wanted));
  test.each(['x', '1.x', '1e3', '2026-01-02T03:04:05Z', '0x10'])('since %s is refused', (text) =>
    expect(() => ask(`stdout=1&since=${text}`)).toThrow(`invalid value for "since": invalid timestamp "${text}"`),
  );
  test('until 0 is none', () => expect(ask('stderr=1&until=0').until).toBeUndefined());
  test.each([
    ['all', undefined],
    ['', undefined],
    ['-1', undefined],
    ['0', 0],
    ['7', 7],
  ])('tail %s', (text, wanted) => expect(ask(`stdout=1&tail=${text}`).tailLines).toBe(wanted));
});

describe('log drivers and their options (moby logger)', () => {
  const of = (Type: string, Config: Record<string, string> = {}) => logSettings({ Type, Config });

  test.each([
    [undefined, {}, { maxBytes: 20_000_000, maxFiles: 5 }],
    ['json-file', { 'max-size': '10m' }, { maxBytes: 10_000_000, maxFiles: 1 }],
    ['json-file', { 'max-size': '1.5 kB', 'max-file': '3', labels: 'a' }, { maxBytes: 1500, maxFiles: 3 }],
    ['json-file', { 'max-size': '-1' }, { maxBytes: 0, maxFiles: 1 }],
    ['local', { 'max-size': '512' }, { maxBytes: 512, maxFiles: 5 }],
    ['local', { mode: 'non-blocking', 'max-buffer-size': '1m' }, { maxBytes: 20_000_000, maxFiles: 5 }],
    ['none', {}, undefined],
  ])('%s %j', (type, config, wanted) => {
    expect(type === undefined ? logSettings(undefined) : of(type, config)).toEqual(wanted);
  });
  test.each([
    ['syslog', {}, "logger: no log driver named 'syslog' is registered"],
    ['toString', {}, "logger: no log driver named 'toString' is registered"],
    ['json-file', { foo: '1' }, "unknown log opt 'foo' for json-file log driver"],
    ['json-file', { 'max-size': '10x' }, "invalid size: '10x'"],
    ['json-file', { 'max-size': '0' }, "invalid size: '0'"],
    ['local', { 'max-file': '0' }, 'max-file cannot be less than 1'],
    ['local', { mode: 'later' }, 'logger: logging mode not supported: later'],
  ])('%s %j is refused', (type, config, message) => expect(() => of(type, config)).toThrow(message));

  test('details: the labels and variables that are named, sorted and escaped', () => {
    const config = { Env: ['A=b c', 'B=1', 'X=y=z'], Labels: { app: 'shop', other: '1' }, Image: 'img' };
    const options = { labels: 'app,none', env: 'X,A', tag: '{{.Name}}/{{.ID}} {{.Unknown}}' };
    const record = {
      ...{ id: 'f'.repeat(64) as ContainerId, name: 'web', imageId: 'sha256:abc' as Digest },
      config: config as unknown as ContainerConfig,
      hostConfig: { NetworkMode: 'bridge', LogConfig: { Type: 'json-file', Config: options } },
    } as unknown as ContainerRecord;
    expect(logDetails(record)).toBe('A=b+c,X=y%3Dz,app=shop,tag=web%2Fffffffffffff+%7B%7B.Unknown%7D%7D');
  });
});
