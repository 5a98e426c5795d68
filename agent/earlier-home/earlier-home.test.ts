/** Today's agent on the home of an earlier commit's: it reads all of it, tells of the pods what was told before, and touches none. */
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ContainerStatus, DeepReadonly, PodStatus } from '#lib/api';
import { type Ctx, realClock, seededRandom, silentLogger } from '#lib/base';
import { ClusterFigures } from '../cluster-figures.ts';
import { ImageAccess } from '../images/access/access.ts';
import { Records } from '../images/records.ts';
import type { LinuxKernel } from '../kernel/linux/open.ts';
import { RecordingKernel } from '../kernel/recording.ts';
import { LedgerFile } from '../network/ledger-file.ts';
import { deleted, FakeNode } from '../pods/fake-node.ts';
import type { PodObject } from '../pods/model.ts';
import { openRuntime } from '../runtime/open.ts';
import type { ContainerRecord, StartContainer } from '../runtime/runtime.ts';
import { WishFiles } from '../session/wish-files.ts';
import { RangeLedger } from '../user-namespaces/ledger.ts';
import { defaultPool, IDS_PER_POD } from '../user-namespaces/ranges.ts';
import { type EarlierHome, earlierCommits, layOut } from './lay-out.ts';

/** What agents of that time kept already. */
const KEPT: Readonly<Record<string, Kept>> = {
  '17cbd99': {
    areMountsTold: false,
    events: ['Killing'],
    isAccessNoted: false,
    rangesCount: 0,
    secret: { isWithheld: false, isExposed: true },
  },
  '5eeeb2b': {
    areMountsTold: true,
    events: ['Killing', 'ResizeCompleted'],
    isAccessNoted: true,
    rangesCount: 1,
    secret: { isWithheld: true, isExposed: false },
  },
};
const RANGES = 'user-namespaces.json';
const VOLUME = { hostPath: '/volume', readOnly: true };
const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };

interface Kept {
  /** In statuses: what is mounted in a container. */
  readonly areMountsTold: boolean;
  /** Of a pod that was ending, and of one whose resize an agent might have died in: both are gone through again. */
  readonly events: readonly string[];
  /** By whom an image was pulled. */
  readonly isAccessNoted: boolean;
  /** Pods with a user namespace. */
  readonly rangesCount: number;
  readonly secret: { readonly isWithheld: boolean; readonly isExposed: boolean };
}

function fail(commit: string): never {
  throw new Error(`say in KEPT what commit ${commit} kept`);
}

describe.each(await earlierCommits())('the home that commit %s left', (commit) => {
  const { areMountsTold, events, isAccessNoted, rangesCount, secret } = KEPT[commit] ?? fail(commit);
  let scratch: string;
  let home: EarlierHome;
  let kernel: RecordingKernel;
  const at = (name: string): string => join(home.folder, name);

  beforeEach(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'eh-'));
    home = await layOut(commit, join(scratch, 'h'));
    kernel = new RecordingKernel();
  });
  afterEach(async () => {
    await home[Symbol.asyncDispose]();
    await rm(scratch, { recursive: true, force: true });
  });

  async function wished(): Promise<readonly PodObject[]> {
    const files = new WishFiles({ folder: at('session/desired'), memoryFolder: join(scratch, 'm') }, silentLogger);
    await files.open(['pods', 'secrets']);
    return (await files.load('pods')).map((x) => x.object as PodObject);
  }

  async function containers(): Promise<readonly ContainerRecord[]> {
    const helped = Object.assign(kernel, { helper: { path: 'berth-helper' } }) as unknown as LinuxKernel;
    await using runtime = await openRuntime(
      { kernel: helped, folder: at('containers'), stateFolder: join(scratch, 'r'), runtime: 'crun' },
      c,
    );
    return await runtime.list(c);
  }

  test('containers are found as they were told of: who runs by the word of its supervisor, who ended by its record', async () => {
    const found = new Map((await containers()).map((r) => [`berth://${r.id}`, r]));
    const told = (await wished()).flatMap((p) => statusesOf(p.status).flatMap(attemptsOf));
    expect(told.length).toBeGreaterThan(10);
    for (const { id, state } of told) {
      const now = found.get(id)?.state;
      if (state?.running) expect(now).toMatchObject({ phase: 'running', pid: expect.any(Number) });
      else expect(now).toMatchObject({ phase: 'exited', exitCode: state?.terminated?.exitCode, lost: false });
      const startedAt = state?.running?.startedAt ?? state?.terminated?.startedAt ?? '';
      expect(Math.floor((now?.startedAtMs ?? 0) / 1000)).toBe(Date.parse(startedAt) / 1000);
    }
    expect(new Set(home.asked)).toEqual(
      new Set(told.filter((x) => x.state?.running).map((x) => x.id.slice('berth://'.length))),
    );
    expect(kernel.commands.filter((text) => text.includes('supervise'))).toEqual([]);
  });

  test('pods are told of as before, nothing of them is begun or ended, and each goes as usual when it is deleted', async () => {
    await using node = await FakeNode.make({ userNamespaces: true, volumes: { prepare: async () => VOLUME } });
    await cp(at('pods'), join(node.folder, 'pods'), { recursive: true });
    if (rangesCount > 0) await cp(at(RANGES), join(node.folder, RANGES));
    const { ledger } = await LedgerFile.open(at('network'), silentLogger);
    for (const [id, { ip }] of ledger.held) node.addresses.set(id, ip);
    for (const [name, type] of home.mounts) {
      const path = join(node.folder, name);
      if (type === 'nsfs') node.kernel.pinned.add(path);
      else node.kernel.mounted.set(path, { type, detail: undefined });
    }
    const records = await containers();
    const lastMs = Math.max(...records.map((x) => (x.state.phase === 'exited' ? x.state.finishedAtMs : 0)));
    await node.clock.advance(lastMs + 1000 - node.clock.now());
    for (const { id, labels, state } of records) {
      const o = { id, labels } as StartContainer;
      node.host.containers.set(id, { o, program: { termMs: 'never' }, state, timers: [] });
      node.roots.add(id);
    }
    const begun = new Map([...node.host.containers].map(([id, { state }]) => [id, state]));
    const pods = await wished();
    const agent = await node.agent();
    for (const pod of pods) agent.want(pod);
    const uids = pods.map((p) => p.metadata.uid ?? '');
    await node.passUntil(() => uids.every((uid) => node.status(uid) !== undefined), 'told of all');
    await agent.manager.removeUnwanted(node.c);
    await node.pass(100);
    for (const pod of pods) {
      const now = ofThisNode(node.status(pod.metadata.uid ?? ''));
      expect(areMountsTold ? now : withoutMounts(now)).toEqual(ofThisNode(pod.status));
    }
    expect(new Map([...node.host.containers].map(([id, { state }]) => [id, state]))).toEqual(begun);
    expect(node.events.map((e) => e.reason).sort()).toEqual(events);
    for (const pod of pods) agent.want(deleted(pod, node.clock.now(), 1));
    await node.passUntil(() => uids.every((uid) => node.removed.includes(uid)), 'all are gone');
    expect(await node.leftovers()).toEqual([]);
  });

  test('images, addresses, ranges of ids, figures and the wish are read as they were written', async () => {
    const images = await Records.open(at('images/images'), realClock, silentLogger);
    const [image, ...more] = images.all();
    expect(more).toEqual([]);
    const pods = await wished();
    const statuses = pods.flatMap((p) => statusesOf(p.status));
    for (const s of statuses.filter((x) => x.imageID !== ''))
      expect(image).toMatchObject({ reference: s.image, repoDigest: s.imageID });
    if (image === undefined) throw new Error('no image');
    const o = {
      folder: at('images/access'),
      keyPath: join(scratch, 'key'),
      settings: { policy: 'AlwaysVerify', preloaded: [] } as never,
      images: { list: async () => images.all() },
      ...{ random: seededRandom(1), log: silentLogger },
    };
    expect(await (await ImageAccess.open(o, c)).isOpenTo(image, image.reference, [])).toBe(isAccessNoted);
    const { held } = (await LedgerFile.open(at('network'), silentLogger)).ledger;
    for (const { metadata, status, spec } of pods)
      if (status?.phase === 'Running' && spec.hostNetwork !== true)
        expect(held.get(metadata.uid as never)?.ip).toBe(status.podIP);
    const ids = { ...defaultPool(IDS_PER_POD), idsPerPod: IDS_PER_POD, start: 0 };
    const ranges = await RangeLedger.open(home.folder, ids);
    const own = pods.filter((p) => p.spec.hostUsers === false).map((p) => p.metadata.uid ?? '');
    expect([own.length, ranges.pods()]).toEqual([rangesCount, own]);
    for (const uid of own) expect(ranges.rangeOf(uid)?.count).toBe(IDS_PER_POD);
    const configured: object[] = [];
    const network = { configure: async (config: object) => void configured.push(config) };
    const node = {
      nodeName: 'vm',
      nodeIp: '192.0.2.1',
      networkMode: 'routes',
      nodePortRange: [30_000, 32_767],
    } as const;
    await new ClusterFigures({ ...node, path: at('cluster-info.json'), network, random: seededRandom(1) }, c).load();
    expect(configured).toMatchObject([{ podCidr: '10.162.0.0/24', clusterDnsIp: '10.163.0.10', nodeName: 'vm' }]);
    const files = new WishFiles({ folder: at('session/desired'), memoryFolder: join(scratch, 'm') }, silentLogger);
    await files.open(['secrets', 'configmaps']);
    expect(await files.load('secrets')).toMatchObject([{ ...secret, object: { metadata: { name: 'sec' } } }]);
    expect(await files.load('configmaps')).toMatchObject([{ object: { data: { GREETING: 'hello' } } }]);
  });
});

/** Without what another node says otherwise, and what the API adds. */
function ofThisNode(s: DeepReadonly<PodStatus> | undefined): object {
  const { hostIP, hostIPs, conditions = [], ...rest } = s ?? {};
  expect([hostIP, hostIPs]).not.toContain(undefined);
  return { ...rest, conditions: conditions.map(({ lastProbeTime: _api, ...x }) => x) };
}

function withoutMounts(status: object): object {
  return JSON.parse(
    JSON.stringify(status, (key, value: unknown) => (key === 'volumeMounts' ? undefined : value)),
  ) as object;
}

const statusesOf = (s: DeepReadonly<PodStatus> | undefined): readonly DeepReadonly<ContainerStatus>[] => [
  ...(s?.initContainerStatuses ?? []),
  ...(s?.containerStatuses ?? []),
  ...(s?.ephemeralContainerStatuses ?? []),
];

interface Attempt {
  readonly id: string;
  readonly state: DeepReadonly<ContainerStatus>['state'];
}

/** The attempts a status tells of. */
function attemptsOf(s: DeepReadonly<ContainerStatus>): Attempt[] {
  const last = s.lastState?.terminated;
  const latest = s.containerID === undefined || s.state?.waiting ? [] : [{ id: s.containerID, state: s.state }];
  return last?.containerID === undefined ? latest : [...latest, { id: last.containerID, state: { terminated: last } }];
}
