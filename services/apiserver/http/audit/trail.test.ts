import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { realClock, silentLogger, VirtualClock } from '#lib/base';
import { MemoryBus, Subjects } from '#lib/bus';
import { requestInfo } from '../request-info.ts';
import { type AuditEvent, auditEvent } from './event.ts';
import { RotatedFile } from './rotated-file.ts';
import { AuditTrail, type LineWriter } from './trail.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'audit-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

function event(auditId: string, body?: unknown): AuditEvent {
  const info = requestInfo('POST', '/api/v1/namespaces/team-a/configmaps', new URLSearchParams());
  const user = { name: 'u', groups: [] };
  const request = { auditId, level: 'Request', uri: '/x', info, user, impersonated: undefined, sourceIps: [] } as const;
  return auditEvent(
    { ...request, userAgent: '', receivedMs: 0 },
    { stage: 'ResponseComplete', atMs: 0, requestObject: body },
  );
}

describe('AuditTrail', () => {
  test('writes JSON lines to the file and copies to the bus', async () => {
    await using bus = new MemoryBus();
    const copies: string[] = [];
    bus.subscribe(Subjects.allAudit, (m) =>
      copies.push(`${m.subject} ${JSON.parse(Buffer.from(m.data).toString()).auditID}`),
    );
    const path = join(folder, 'audit.log');
    const file = new RotatedFile({ path, bytesMax: 1 << 20, filesMax: 1, ageMsMax: 1e9, clock: realClock });
    const trail = new AuditTrail({ file, bus });
    const stop = new AbortController();
    const run = trail.run({ signal: stop.signal, clock: realClock, log: silentLogger });
    for (let i = 0; i < 1_000; i++) trail.record(event(`id-${i}`));
    stop.abort();
    await run;
    const lines = (await readFile(path, 'utf8')).trimEnd().split('\n');
    expect(lines.map((l) => (JSON.parse(l) as AuditEvent).auditID)).toEqual(
      Array.from({ length: 1_000 }, (_, i) => `id-${i}`),
    );
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(copies[0]).toBe('berth.audit.team-a id-0');
    expect(copies).toHaveLength(1_000);
  });

  test('what does not fit is dropped and counted; nobody waits for a disk that hangs', async () => {
    let go: () => void = () => undefined;
    const written: number[] = [];
    const hanging: LineWriter = {
      write: async (lines) => {
        written.push(lines.length);
        await new Promise<void>((resolve) => {
          go = resolve;
        });
      },
      [Symbol.asyncDispose]: async () => undefined,
    };
    const trail = new AuditTrail({ file: hanging, bus: undefined, eventsMax: 10 });
    const stop = new AbortController();
    const run = trail.run({ signal: stop.signal, clock: realClock, log: silentLogger });
    for (let i = 0; i < 25; i++) trail.record(event(`${i}`));
    expect(trail.dropped).toBe(15);
    expect([...trail.metricLines()]).toContain('apiserver_audit_error_total{plugin="buffered"} 15');
    expect([...trail.metricLines()]).toContain('apiserver_audit_event_total 25');
    await expect.poll(() => written).toEqual([10]);
    stop.abort();
    go();
    await run;
  });

  test('a large body counts by its size', () => {
    const file: LineWriter = { write: async () => undefined, [Symbol.asyncDispose]: async () => undefined };
    const trail = new AuditTrail({ file, bus: undefined, bytesMax: 10_000 });
    trail.record(event('a', { text: 'x'.repeat(9_000) }));
    trail.record(event('b', { text: 'x'.repeat(9_000) }));
    expect(trail.dropped).toBe(1);
  });

  test('a file that cannot be written loses events, not requests, and says so', async () => {
    await writeFile(join(folder, 'file'), '');
    const path = join(folder, 'file', 'audit.log');
    const file = new RotatedFile({ path, bytesMax: 100, filesMax: 1, ageMsMax: 1, clock: realClock });
    const trail = new AuditTrail({ file, bus: undefined });
    const stop = new AbortController();
    const run = trail.run({ signal: stop.signal, clock: realClock, log: silentLogger });
    trail.record(event('a'));
    stop.abort();
    await run;
    expect([...trail.metricLines()]).toContain('apiserver_audit_error_total{plugin="log"} 1');
  });

  test('a copy too large for the bus goes without its bodies', () => {
    const copies: AuditEvent[] = [];
    const bus = { publish: (_s: string, data: Uint8Array | string) => void copies.push(JSON.parse(String(data))) };
    new AuditTrail({ file: undefined, bus }).record(event('a', { text: 'x'.repeat(600_000) }));
    expect(copies[0]).toMatchObject({ auditID: 'a', annotations: { 'audit.k8s.io/truncated': 'true' } });
    expect(copies[0]?.requestObject).toBeUndefined();
  });
});

describe('RotatedFile', () => {
  test('is set aside when full; old ones go by number and by age; other files stay', async () => {
    const clock = new VirtualClock();
    await writeFile(join(folder, 'audit-notes.log'), 'mine');
    await writeFile(join(folder, 'audit-2023-01-01T00-00-00.000.log'), 'very old');
    const path = join(folder, 'audit.log');
    const file = new RotatedFile({ path, bytesMax: 10, filesMax: 2, ageMsMax: 60_000, clock });
    for (const line of ['aaaaa\n', 'bbbbb\n', 'ccccc\n', 'ddddd\n']) await file.write([line]);
    const names = (await readdir(folder)).sort();
    expect(names).toEqual([
      'audit-2023-11-14T22-13-20.001.log',
      'audit-2023-11-14T22-13-20.002.log',
      'audit-notes.log',
      'audit.log',
    ]);
    expect(await readFile(path, 'utf8')).toBe('ddddd\n');
    await clock.advance(61_000);
    await file.write(['eeeee\n']);
    expect((await readdir(folder)).filter((n) => n.includes('T22-13')).length).toBe(0);
    await file[Symbol.asyncDispose]();
  });

  test('goes on where the last one stopped, splits no line, and takes one that is larger than a file', async () => {
    const path = join(folder, 'deep', 'audit.log');
    const o = { path, bytesMax: 10, filesMax: 9, ageMsMax: 1e12, clock: new VirtualClock() };
    const first = new RotatedFile(o);
    await first.write(['1234\n']);
    await first[Symbol.asyncDispose]();
    const second = new RotatedFile(o);
    await second.write(['6789\n', 'x'.repeat(50), 'y\n']);
    await second[Symbol.asyncDispose]();
    const files = await Promise.all(
      (await readdir(join(folder, 'deep'))).sort().map((n) => readFile(join(folder, 'deep', n), 'utf8')),
    );
    expect(files).toEqual(['1234\n6789\n', 'x'.repeat(50), 'y\n']);
  });
});
