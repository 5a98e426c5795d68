/**
 * What a node says of itself beside what the machine says, how seldom it has to be written down, paths and mounts of the machine
 * in pods, and logs since a time.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { networkInterfaces, release } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type KindRef, Kinds, type KubeObject } from '#lib/api';
import { realClock } from '#lib/base';
import { eventually } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';
import { IDLES, NodePods } from './node-pods.ts';

/** The node's Lease is renewed every 10 s (ADR 5), its status is written where it changes. */
const WRITES_PER_SECOND_MAX = 0.4;
const COUNTED_MS = 12_000;
/** hostPath type, what lies there instead, and the kubelet's word for what should. */
const WRONG = [
  ['Directory', 'file', 'directory'],
  ['File', 'folder', 'file'],
  ['File', 'socket', 'file'],
  ['Directory', 'null', 'directory'],
  ['Socket', 'folder', 'socket file'],
  ['Socket', 'file', 'socket file'],
  ['CharDevice', 'file', 'character device'],
  ['BlockDevice', 'null', 'block device'],
  ['DirectoryOrCreate', 'file', 'directory'],
  ['FileOrCreate', 'folder', 'file'],
] as const;

describe('the machine in the node and in its pods (root)', () => {
  let t: NodePods;
  let folder: string;
  let server: Server;
  let block: string;
  const mounted: string[] = [];
  const counting = new AbortController();
  let writes = 0;
  let countedFrom = 0;
  tellWhenFailed(() => t?.cluster);

  const at = (name: string): string => (name === 'null' ? '/dev/null' : join(folder, name));
  const withPaths = (name: string, script: string, paths: readonly (readonly [type: string, path: string])[]) =>
    t.pod(
      name,
      script,
      { volumeMounts: paths.map((_, i) => ({ name: `v${i}`, mountPath: `/v${i}` })) },
      { volumes: paths.map(([type, path], i) => ({ name: `v${i}`, hostPath: { path, type } })) },
    );
  /** With all that is mounted below, before and later. */
  const propagating = (name: string, modes: readonly string[], privileged: boolean) =>
    t.pod(
      name,
      IDLES,
      {
        volumeMounts: modes.map((mountPropagation) => ({
          name: 'v',
          mountPath: `/${mountPropagation.toLowerCase()}`,
          mountPropagation,
        })),
        securityContext: { privileged },
      },
      { volumes: [{ name: 'v', hostPath: { path: at('shared') } }] },
    );
  async function count<T extends KubeObject>(kind: KindRef<T>, namespace: string): Promise<void> {
    const c = { ...t.cluster.ctx, signal: counting.signal };
    const { resourceVersion } = await t.cluster.client.list(kind, { namespace }, c);
    for await (const event of t.cluster.client.watch(kind, { namespace, resourceVersion }, c))
      if (event.type === 'MODIFIED') writes++;
  }

  beforeAll(async () => {
    t = await NodePods.open('host');
    folder = join(t.cluster.layout.home, 'of-the-host');
    await mkdir(join(folder, 'folder'), { recursive: true });
    await writeFile(at('file'), 'of the host');
    for (const name of ['a', 'b']) await mkdir(join(folder, 'shared', name), { recursive: true });
    execFileSync('mount', ['--bind', at('shared'), at('shared')]);
    mounted.push(at('shared'));
    execFileSync('mount', ['--make-shared', at('shared')]);
    server = createServer().listen(at('socket'));
    const disks = (await readdir('/sys/block')).map((name) => `/dev/${name}`);
    block = disks.find((path) => existsSync(path) && statSync(path).isBlockDevice()) ?? '';
    const right = [
      ['Directory', at('folder')],
      ['File', at('file')],
      ['Socket', at('socket')],
      ['CharDevice', '/dev/null'],
      ['DirectoryOrCreate', at('made/folder')],
      ['FileOrCreate', at('folder/made')],
      ['', at('made/too')],
      ...(block === '' ? [] : [['BlockDevice', block] as const]),
    ] as const;
    const kinds = ['d', 'f', 'S', 'c', 'd', 'f', 'd', 'b'];
    await t.apply(
      withPaths('right', right.map((_, i) => `[ -${kinds[i]} /v${i} ] && echo ${i}`).join('; '), right),
      ...WRONG.map(([type, there], i) => withPaths(`wrong-${i}`, 'true', [[type, at(there)]])),
      withPaths('no-folder', 'true', [['FileOrCreate', at('none/file')]]),
      withPaths('late', 'ls /v0', [['Directory', at('late')]]),
      propagating('sees', ['None', 'HostToContainer'], false),
      propagating('gives', ['Bidirectional'], true),
      t.pod('speaks', `echo old; sleep 3; echo new; ${IDLES}`),
    );
    countedFrom = realClock.monotonic();
    /* They end with the file. */
    count(Kinds.nodes, '').catch(() => undefined);
    count(Kinds.leases, 'kube-node-lease').catch(() => undefined);
  });
  afterAll(async () => {
    counting.abort();
    server?.close();
    /* One that never came to be must not keep the cluster running. */
    for (const path of mounted.reverse()) spawnSync('umount', ['-l', path]);
    await t?.cluster.stop();
  });

  test('hostPath: each type is what it says or is made; what is not is told, and starts its pod when it is right', async () => {
    const right = (await t.said('right')).split('\n');
    expect(right).toEqual((block === '' ? '0123456' : '01234567').split(''));
    const mode = (path: string): string => (statSync(path).mode & 0o7777).toString(8);
    expect([mode(at('made/folder')), mode(at('folder/made')), mode(at('made/too'))]).toEqual(['755', '644', '755']);
    for (const [i, [, there, what]] of WRONG.entries())
      expect(await t.event(`wrong-${i}`, /^FailedMount /)).toBe(
        `FailedMount MountVolume.SetUp failed for volume "v0" : hostPath type check failed: ${at(there)} is not a ${what}`,
      );
    expect(await t.event('no-folder', /^FailedMount /)).toContain('hostPath type check failed');
    expect(await t.event('late', /^FailedMount /)).toContain(`${at('late')} is not a directory`);
    await mkdir(at('late'));
    await writeFile(join(at('late'), 'came'), '');
    expect(await t.said('late')).toBe('came');
  });

  test('mountPropagation: what is mounted later, on either side, is seen where it was asked for and nowhere else', async () => {
    await t.ready('sees');
    await t.ready('gives');
    execFileSync('mount', ['-t', 'tmpfs', 'none', join(at('shared'), 'a')]);
    mounted.push(join(at('shared'), 'a'));
    await writeFile(join(at('shared'), 'a/by-host'), '');
    expect(await t.exec('sees', 'cd /hosttocontainer; ls a b; cd /none; ls a b')).toBe('a:\nby-host\n\nb:\na:\n\nb:\n');
    expect(await t.exec('gives', 'busybox mount -t tmpfs none /bidirectional/b && touch /bidirectional/b/by-pod')).toBe(
      '',
    );
    mounted.push(join(at('shared'), 'b'));
    expect(await readdir(join(at('shared'), 'b'))).toEqual(['by-pod']);
    expect(await t.exec('sees', 'ls /hosttocontainer/b /none/b')).toBe('/hosttocontainer/b:\nby-pod\n\n/none/b:\n');
  });

  test('logs since a time, and since so long', async () => {
    await t.ready('speaks');
    const lines = await eventually('its second line', 20_000, async () => {
      const all = (await t.logs('speaks', '--timestamps')).trim().split('\n');
      return all.length === 2 ? all : undefined;
    });
    const [, second = ''] = lines.map((l) => l.split(' ')[0] ?? '');
    expect(await t.logs('speaks', '--since-time', `${second.slice(0, 19)}Z`)).toBe('new\n');
    expect(await t.logs('speaks', '--since=1h')).toBe('old\nnew\n');
    await eventually('both are older than a second', 10_000, async () => (await t.logs('speaks', '--since=1s')) === '');
  });

  test('status: the facts and addresses of the machine, the images that are there, and what the node heeds', async () => {
    const { status } = await t.nodeObject;
    const text = (path: string): string => readFileSync(path, 'utf8').trim();
    const pretty = execFileSync('sh', ['-c', '. /etc/os-release; printf "%s" "$PRETTY_NAME"'], { encoding: 'utf8' });
    const machine = execFileSync('uname', ['-m'], { encoding: 'utf8' }).trim();
    expect(status?.nodeInfo).toMatchObject({
      kernelVersion: release(),
      bootID: text('/proc/sys/kernel/random/boot_id'),
      machineID: existsSync('/etc/machine-id') ? text('/etc/machine-id') : '',
      osImage: pretty,
      operatingSystem: 'linux',
      architecture: { x86_64: 'amd64', aarch64: 'arm64' }[machine] ?? machine,
      kubeletVersion: expect.stringMatching(/^v1\.\d+\.\d+/),
      containerRuntimeVersion: expect.stringMatching(/^berth:\/\//),
    });
    const own = Object.values(networkInterfaces()).flatMap((x) => (x ?? []).map((a) => a.address));
    const [internal, name] = status?.addresses ?? [];
    expect([internal?.type, name]).toEqual(['InternalIP', { type: 'Hostname', address: t.node }]);
    expect(own).toContain(internal?.address);
    expect((await t.read('speaks')).status?.hostIP).toBe(internal?.address);
    expect(status?.features).toEqual({ supplementalGroupsPolicy: true });
    const pulled = await eventually('the image is listed', 20_000, async () =>
      (await t.nodeObject).status?.images?.find((i) => i.names?.includes(t.image)),
    );
    expect(pulled.names).toEqual([expect.stringMatching(/^localhost:\d+\/berth\/hello@sha256:[0-9a-f]{64}$/), t.image]);
    expect(pulled.sizeBytes).toBeGreaterThan(100_000);
  });

  test('a node that is heard every second is written down far less often', async () => {
    const elapsed = (): number => realClock.monotonic() - countedFrom;
    await eventually('enough time', 30_000, async () => elapsed() > COUNTED_MS);
    const ready = (await t.nodeObject).status?.conditions?.find((c) => c.type === 'Ready');
    expect(ready?.status).toBe('True');
    expect(writes).toBeGreaterThan(0);
    expect(writes).toBeLessThan((elapsed() / 1000) * WRITES_PER_SECOND_MAX);
  });
});
