import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { connectUnix } from './unix-socket.ts';

test('connectUnix: a supervisor that ends before it has taken the connection is one that is not there', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'berth-supervisor-'));
  try {
    const path = join(folder, 'sock');
    expect(await connectUnix(path)).toBeUndefined();
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(path, resolve));
    const connecting = connectUnix(path);
    server.close(); // The connection waits in the kernel; it is reset, not refused.
    expect(await connecting).toBeUndefined();
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
