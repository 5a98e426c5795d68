import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Pod } from '#lib/api';
import { type Ctx, realClock, silentLogger } from '#lib/base';
import { RecordingKernel } from '../kernel/recording.ts';
import { prepareEmptyDir } from './emptydir.ts';
import { pageSizeOf } from './hugepages.ts';
import { volumeOwner } from './owner.ts';

const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };

function pod(...requests: Record<string, string>[]): Pod {
  const containers = requests.map((r, i) => ({ name: `c${i}`, resources: { requests: r, limits: r } }));
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p' }, spec: { containers } } as Pod;
}

test('huge pages: the size is that of the one resource requested, or the one that the medium names', () => {
  expect(pageSizeOf('HugePages', pod({ 'hugepages-2Mi': '4Mi' }))).toBe(2 << 20);
  expect(pageSizeOf('HugePages', pod({ 'hugepages-2Mi': '4Mi' }, { 'hugepages-2Mi': '2Mi' }))).toBe(2 << 20);
  expect(pageSizeOf('HugePages-1Gi', pod({ 'hugepages-2Mi': '4Mi' }, { 'hugepages-1Gi': '1Gi' }))).toBe(1 << 30);
  expect(pageSizeOf('HugePages-2048Ki', pod({ 'hugepages-2Mi': '4Mi' }))).toBe(2 << 20);
});

test.each([
  ['HugePages', pod({ cpu: '1' }), 'there is no resource request for huge pages'],
  ['HugePages-1Gi', pod({ 'hugepages-2Mi': '4Mi' }), 'there is no resource request for huge pages'],
  ['HugePages', pod({ 'hugepages-2Mi': '4Mi', 'hugepages-1Gi': '1Gi' }), 'multiple huge page sizes'],
  ['HugePages-many', pod({ 'hugepages-2Mi': '4Mi' }), 'is no quantity'],
])('huge pages: %s is refused where none fit', (medium, of, message) => {
  expect(() => pageSizeOf(medium, of)).toThrow(message);
});

test('huge pages: an emptyDir of them is mounted, with their size', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'berth-huge-'));
  const path = join(folder, 'v');
  const kernel = new RecordingKernel();
  const given = pod({ 'hugepages-2Mi': '4Mi' });
  const of = { pod: given, owner: volumeOwner(given, undefined), memoryBytesMax: undefined, kernel };
  await prepareEmptyDir(path, { medium: 'HugePages' }, of, c);
  expect(kernel.commands).toEqual([`mount -t hugetlbfs -o nosuid,nodev,mode=777,pagesize=2097152 hugetlbfs ${path}`]);
  expect((await stat(path)).isDirectory()).toBe(true);
  await rm(folder, { recursive: true });
});
