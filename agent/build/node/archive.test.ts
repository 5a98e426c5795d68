import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Ctx, realClock, silentLogger } from '#lib/base';
import { tarBytes, tarHeader } from '#lib/oci';
import type { Kernel } from '../../kernel/kernel.ts';
import { receiveArchive } from './archive.ts';

const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
const kernel = {} as Kernel;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-archive-test-'));
});
afterAll(() => rm(folder, { recursive: true }));

test.each(['in its first piece', 'later'])('a context that is damaged %s leaves who sends it', async (where) => {
  const files = ['a', 'b'].map((path) => ({ header: tarHeader({ type: 'file', path }), data: Buffer.alloc(0) }));
  const tar = await tarBytes(files);
  tar.write('damaged', 512);
  let isLeft = false;
  const sent = async function* (): AsyncGenerator<Buffer, void, void> {
    try {
      if (where === 'later') yield tar.subarray(0, 512);
      yield where === 'later' ? tar.subarray(512) : tar;
      yield tar;
    } finally {
      isLeft = true;
    }
  };
  await expect(receiveArchive(sent(), { kernel, path: join(folder, where) }, c)).rejects.toThrow('checksum');
  expect(isLeft).toBe(true);
});
