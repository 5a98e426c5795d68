/** What a power loss may have torn goes after the next boot; what is recorded stays, and a mere restart removes nothing. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type Ctx, type Digest, realClock, sha256, silentLogger } from '#lib/base';
import { type AnyDigest, FolderContentStore } from '#lib/oci';
import { Records } from './records.ts';
import type { Snapshotter } from './snapshot.ts';
import { removeUnsynced } from './unsynced.ts';

const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };

test('after another boot what no record and no root names is removed, after a restart nothing is', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'berth-unsynced-'));
  try {
    const content = await FolderContentStore.open(join(folder, 'content'), { keepIngests: false, durable: false });
    const records = await Records.open(join(folder, 'images'), realClock, silentLogger);
    const store = async (text: string): Promise<AnyDigest> => {
      const ingest = await content.begin('ingest');
      await ingest.write(Buffer.from(text));
      return (await ingest.commit({ digest: sha256(text) })).digest;
    };
    const layers = new Set([sha256('recorded'), sha256('rooted'), sha256('torn')]);
    const snapshots = {
      layers: async () => [...layers].map((chainId) => ({ chainId, bytes: 1 })),
      roots: async () => [
        { containerId: 'c', source: { imageId: sha256('gone'), layers: [sha256('rooted')] } },
        { containerId: 'half', source: undefined },
      ],
      removeLayer: async (chainId: Digest) => void layers.delete(chainId),
    } as unknown as Snapshotter;
    await store('blob');
    await store('torn blob');
    await records.put({
      reference: 'r.io/a:1',
      id: sha256('config'),
      repoDigest: `r.io/a@${sha256('m')}`,
      sizeBytes: 1,
      config: { user: '', env: [], entrypoint: [], cmd: [], workingDir: '', stopSignal: '', volumes: [], labels: {} },
      topDigest: sha256('m'),
      manifestDigest: sha256('m'),
      layers: [{ digest: sha256('blob'), chainId: sha256('recorded') }],
      documents: [],
    });
    const start = () => removeUnsynced({ folder, content, records, snapshots }, c);
    const boot = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
    await writeFile(join(folder, 'boot-id'), boot);
    await start();
    expect(layers.size).toBe(3);
    expect(await content.stat(sha256('torn blob'))).toBeDefined();

    await writeFile(join(folder, 'boot-id'), 'another');
    await start();
    expect([...layers]).toEqual([sha256('recorded'), sha256('rooted')]);
    expect(await content.stat(sha256('torn blob'))).toBeUndefined();
    expect(await content.stat(sha256('blob'))).toBeDefined();
    expect(await readFile(join(folder, 'boot-id'), 'utf8')).toBe(boot);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
