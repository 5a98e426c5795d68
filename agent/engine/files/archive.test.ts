import { PassThrough } from 'node:stream';
import { expect, test, vi } from 'vitest';
import { type Ctx, realClock, silentLogger } from '#lib/base';
import { tarBytes, tarHeader } from '#lib/oci';
import type { LinuxKernel } from '../../kernel/linux/open.ts';
import { received } from './archive.ts';

const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };

test.each([1, 2])(
  'cp: an archive that is refused after %d pieces keeps nothing that comes behind it',
  async (pieces) => {
    const body = new PassThrough();
    const header = tarHeader({ type: 'file', path: 'a', sizeBytes: 100_000 });
    body.write(await tarBytes([{ header, data: Buffer.alloc(100_000) }]));
    const tar = await received({ host: { kernel: {} as LinuxKernel } }, { body, c }, '/tmp/scratch');
    body.write(Buffer.alloc(100_000));
    let left = pieces;
    for await (const _ of tar) if (--left === 0) break;
    for (let i = 0; i < 50; i++) body.write(Buffer.alloc(100_000));
    body.end();
    await vi.waitFor(() => expect(body.readableEnded).toBe(true));
  },
);

test('cp: what is no archive keeps nothing that comes behind it', async () => {
  const body = new PassThrough();
  body.write(Buffer.alloc(1000, 'x'));
  await expect(received({ host: { kernel: {} as LinuxKernel } }, { body, c }, '/tmp/scratch')).rejects.toThrow(
    'no tar',
  );
  for (let i = 0; i < 50; i++) body.write(Buffer.alloc(100_000));
  body.end();
  await vi.waitFor(() => expect(body.readableEnded).toBe(true));
});
