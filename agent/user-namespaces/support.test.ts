import { chown, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Ctx, realClock, StatusError, silentLogger } from '#lib/base';
import { type RecordedCall, RecordingKernel } from '../kernel/recording.ts';
import type { KnownHandler } from '../runtime/handlers.ts';
import { supportedHandlers } from './support.ts';

const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
const IDS = { first: 131_072, count: 65_536 };
const handler = (name: string, userNamespaces: boolean): KnownHandler => ({
  name,
  path: name,
  arguments: [],
  isCrun: false,
  takesFilter: false,
  recursiveReadOnlyMounts: true,
  userNamespaces,
});
let folder: string;

/** What the trial says with a kernel of which calls may fail; nothing of it may be left. */
async function asked(onCall: (call: RecordedCall) => void, owner?: number): Promise<(boolean | undefined)[]> {
  const kernel = new RecordingKernel({ onCall });
  const { overlay } = kernel.mounts;
  const mounts: typeof kernel.mounts = {
    ...kernel.mounts,
    overlay: async (m, ctx) => {
      await overlay(m, ctx);
      await mkdir(m.target, { recursive: true });
      await writeFile(join(m.target, 'file'), '');
      if (owner !== undefined) await chown(join(m.target, 'file'), owner, owner);
    },
  };
  const machine = {
    programs: kernel.programs,
    namespaces: kernel.namespaces,
    mounts,
    removeTree: (path: string) => rm(path, { recursive: true, force: true }),
  } as never;
  const told = await supportedHandlers(machine, [handler('', true), handler('old', false)], { folder, ids: IDS }, c);
  expect([...kernel.mounted.keys(), ...kernel.pinned]).toEqual([]);
  expect(await readdir(folder)).toEqual([]);
  return told.map((h) => h.userNamespaces);
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-support-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

test('where the trial works each runtime has what it says of itself', async () => {
  expect(await asked(() => undefined, IDS.first)).toEqual([true, false]);
});

test.each([
  ['user namespaces are forbidden (user.max_user_namespaces = 0)', 'namespaces.pinUser'],
  ['lower folders cannot be idmapped (before Linux 5.19, or the file system)', 'mounts.overlay'],
])('where %s no runtime has them', async (_, name) => {
  const fail = (call: RecordedCall): void => {
    if (call.name === name) throw new StatusError('Invalid', 'not here');
  };
  expect(await asked(fail, IDS.first)).toEqual([false, false]);
});

test('a kernel that takes the mount and does not map ids is found out', async () => {
  expect(await asked(() => undefined)).toEqual([false, false]);
});
