import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { type Ctx, realClock, silentLogger, VirtualClock } from '#lib/base';
import { cgroupFreezer } from './freezer.ts';

const root = mkdtempSync(join(tmpdir(), 'berth-freezer-'));
afterAll(() => rmSync(root, { recursive: true }));
const clock = new VirtualClock();
const c: Ctx = { signal: new AbortController().signal, clock, log: silentLogger };

function cgroup(name: string, files: Readonly<Record<string, string>>): string {
  mkdirSync(join(root, name), { recursive: true });
  for (const [file, text] of Object.entries(files)) writeFileSync(join(root, name, file), text);
  return `/${name}`;
}

test('v1: frozen when its state says so', async () => {
  const freezer = cgroupFreezer({ v1: new Map([['freezer', root]]), v2: undefined });
  const path = cgroup('one', { 'freezer.state': 'THAWED' });
  expect(await freezer.isFrozen(path, c)).toBe(false);
  await freezer.freeze(path, c);
  expect(await freezer.isFrozen(path, c)).toBe(true);
  await freezer.thaw(path, c);
  expect(readFileSync(join(root, path, 'freezer.state'), 'utf8')).toBe('THAWED');
  expect(await freezer.isFrozen('/gone', c)).toBe(false);
});

test.each(['v1', 'v2'])('%s: what is gone cannot be frozen, and needs no thaw', async (version) => {
  const mounts =
    version === 'v1'
      ? { v1: new Map([['freezer', root]]), v2: undefined }
      : { v1: new Map<string, string>(), v2: root };
  const freezer = cgroupFreezer(mounts);
  await expect(freezer.freeze('/gone', c)).rejects.toMatchObject({ kind: 'Conflict' });
  await expect(freezer.thaw('/gone', c)).resolves.toBeUndefined();
});

test('v2: asked, and waited for; what does not freeze in time goes on', async () => {
  const freezer = cgroupFreezer({ v1: new Map(), v2: root }, 50);
  const path = cgroup('two', { 'cgroup.freeze': '0', 'cgroup.events': 'populated 1\nfrozen 0\n' });
  const told = (name: string): string => readFileSync(join(root, path, name), 'utf8');
  const ended = async (work: Promise<void>): Promise<void> => {
    let isOver = false;
    const over = (): void => {
      isOver = true;
    };
    work.then(over, over);
    while (!isOver) {
      await realClock.sleep(1);
      await clock.advance(10);
    }
    await work;
  };
  const late = freezer.freeze(path, c);
  while (told('cgroup.freeze') !== '1') await realClock.sleep(1);
  writeFileSync(join(root, path, 'cgroup.events'), 'populated 1\nfrozen 1\n');
  await ended(late);
  expect(told('cgroup.freeze')).toBe('1');
  writeFileSync(join(root, path, 'cgroup.events'), 'populated 1\nfrozen 0\n');
  await expect(ended(freezer.freeze(path, c))).rejects.toMatchObject({ kind: 'DeadlineExceeded' });
  expect(told('cgroup.freeze')).toBe('0');
});
