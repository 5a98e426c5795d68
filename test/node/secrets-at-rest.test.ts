/**
 * Secrets on a node (ADR 22): whatever a pod does with one, its bytes are in no file of the node's disk: while it runs, after the
 * agent was killed, when everything is down, and when it is up again.
 */
import { existsSync, watch } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runtimeStateFolder } from '../../agent/runtime-state.ts';
import { nodeHome } from '../../cli/layout.ts';
import { applyOk, isReady, podsOf, pushHello, scriptPod } from '../e2e/workload.ts';
import { liveContainers, notTheSame, signal } from '../faults/host.ts';
import { eventually, run, startCluster, type TestCluster } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';

const NS = 'default';
/** Put together here, so that this file's own text holds neither. */
const CLEAR = ['c0rrect', 'h0rse', 'at', 'rest'].join('-');
const ENCODED = Buffer.from(CLEAR).toString('base64');
/** statfs(2). */
const TMPFS_MAGIC = 0x01021994;
const PODS = ['by-env', 'by-argument', 'by-volume'];

let t: TestCluster;
let patterns: string;
tellWhenFailed(() => t);

beforeAll(async () => {
  patterns = join(await mkdtemp(join(tmpdir(), 'berth-patterns-')), 'patterns');
  await writeFile(patterns, `${CLEAR}\n${ENCODED}\n`);
  t = await startCluster({ name: 'rest' });
  const image = await pushHello(t);
  const created = await t.kubectl('create', 'secret', 'generic', 'db', `--from-literal=password=${CLEAR}`);
  expect(created).toMatchObject({ code: 0 });
  const env = [{ name: 'PASSWORD', valueFrom: { secretKeyRef: { name: 'db', key: 'password' } } }];
  const pod = (name: string, container: object, spec: object = {}): object =>
    scriptPod({
      ...{ name, namespace: NS, image },
      spec: { restartPolicy: 'Always', containers: [{ name: 'main', image, ...container }], ...spec },
    });
  const volumeMounts = [{ name: 'db', mountPath: '/db' }];
  await applyOk(
    t,
    pod('by-env', { env, command: ['sleep', '3600'] }),
    pod('by-argument', { env, command: ['sh', '-c', 'sleep 3600; exit', '$(PASSWORD)'] }),
    pod(
      'by-volume',
      { volumeMounts, command: ['sleep', '3600'] },
      { volumes: [{ name: 'db', secret: { secretName: 'db' } }] },
    ),
  );
  await allRun();
});
afterAll(async () => {
  await rm(join(patterns, '..'), { recursive: true, force: true });
  await t?.stop();
});

async function allRun(): Promise<void> {
  await eventually('all pods run', 60_000, async () => {
    const pods = await podsOf(t, NS);
    return pods.length === PODS.length && pods.every(isReady);
  });
}

/** Files that hold the secret, other file systems (of memory) left out. */
async function filesWithSecret(folder = t.layout.home): Promise<string> {
  const grep = ['-exec', 'grep', '-lFf', patterns, '{}', '+'];
  return (await run('find', [folder, '-xdev', '-type', 'f', ...grep], {}, 60_000)).stdout;
}

async function seenInside(): Promise<string[]> {
  const told = await Promise.all([
    t.kubectl('exec', 'by-env', '--', 'sh', '-c', 'echo $PASSWORD'),
    t.kubectl('exec', 'by-argument', '--', 'sh', '-c', 'tr "\\0" "\\n" < /proc/1/cmdline | tail -1'),
    t.kubectl('exec', 'by-volume', '--', 'cat', '/db/password'),
  ]);
  return told.map((r) => r.stdout.trim());
}

test('secrets at rest: env, arguments and volumes of running pods leave none on the disk, nor does exec', async () => {
  const containers = join(nodeHome(t.layout, t.layout.nodes[0]?.name ?? ''), 'containers');
  const written = new Set<string | null>();
  const watchers = (await liveContainers(t)).map((c) => watch(join(containers, c.id), (_, name) => written.add(name)));
  expect(watchers).toHaveLength(PODS.length);
  expect(await seenInside()).toEqual([CLEAR, CLEAR, CLEAR]);
  for (const w of watchers) w.close();
  /* exec's process, with its environment, lies there for a moment otherwise. */
  expect([...written].filter((name) => name?.startsWith('exec-') && name.endsWith('.json'))).toEqual([]);
  expect(await filesWithSecret()).toBe('');
  expect((await statfs(runtimeStateFolder(t.layout.instance))).type).toBe(TMPFS_MAGIC);
  /* The search does find them: where they are meant to be. */
  expect(await filesWithSecret(runtimeStateFolder(t.layout.instance))).toMatch(/wish\/secrets\/default_db\.json/);
});

test('secrets at rest: an agent that was killed has them again from memory, and its containers run on', async () => {
  const before = await liveContainers(t);
  await signal(t, `agent-${t.layout.nodes[0]?.name ?? ''}`, 'SIGKILL');
  await eventually('exec by the new agent', 60_000, async () => (await seenInside()).every((x) => x === CLEAR));
  expect(await notTheSame(before)).toEqual([]);
  expect(await filesWithSecret()).toBe('');
});

test('secrets at rest: nothing is left when all is down, and all is there again when it is up', async () => {
  const { instance, home } = t.layout;
  expect(await t.berth('down', '--home', home)).toMatchObject({ code: 0 });
  expect(await filesWithSecret()).toBe('');
  expect(existsSync(runtimeStateFolder(instance))).toBe(false);
  const marks = join(nodeHome(t.layout, t.layout.nodes[0]?.name ?? ''), 'session/desired/secrets');
  expect(await readdir(marks)).toEqual(['default_db.json']);
  expect(JSON.parse(await readFile(join(marks, 'default_db.json'), 'utf8'))).toMatchObject({
    metadata: { name: 'db' },
  });
  expect(await t.berth('up', '--instance', instance, '--home', home, '--no-sample')).toMatchObject({ code: 0 });
  await eventually('all as before', 60_000, async () => (await seenInside()).every((x) => x === CLEAR));
  expect(await filesWithSecret()).toBe('');
});
