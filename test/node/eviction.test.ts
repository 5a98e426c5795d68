/**
 * A node that is short of inodes and of process numbers, and one that is let be short of disk for a while; and what is kept back
 * for the system beside the agent. Thresholds are set beside what is free, so that a small pod crosses them.
 */
import { readFile, statfs, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DeepReadonly, Pod } from '#lib/api';
import { eventually } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';
import { IDLES, NodePods } from './node-pods.ts';

const GI = 1 << 30;
/** Others use the machine beside this test: what they make and take meanwhile is less than this. */
const INODES_ROOM = 40_000;
const PIDS_ROOM = 700;
const SOFT_GRACE_S = 8;
const PATIENCE_MS = 60_000;

describe('a node that is short of numbers (root)', () => {
  let t: NodePods;
  tellWhenFailed(() => t?.cluster);

  const free = async () => {
    const fs = await statfs(t.home);
    const running = Number(/ \d+\/(\d+) /.exec(await readFile('/proc/loadavg', 'utf8'))?.[1] ?? 0);
    const pids = Number(await readFile('/proc/sys/kernel/pid_max', 'utf8'));
    const threads = Number(await readFile('/proc/sys/kernel/threads-max', 'utf8'));
    return { bytes: fs.bavail * fs.bsize, inodes: fs.ffree, pids: Math.min(pids, threads) - running };
  };
  const failed = (name: string): Promise<DeepReadonly<Pod>> =>
    eventually(`${name} fails`, PATIENCE_MS, async () => {
      const p = await t.read(name);
      return p.status?.phase === 'Failed' && p;
    });
  const condition = async (type: string) => (await t.nodeObject).status?.conditions?.find((c) => c.type === type);

  beforeAll(async () => {
    t = await NodePods.open('num');
    const { bytes, inodes, pids } = await free();
    await writeFile(
      t.inHome('kubelet.yaml'),
      `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
podPidsLimit: 4000
kubeReserved: {cpu: 100m, memory: 300Mi, pid: "100"}
systemReserved: {cpu: 150m, memory: 200Mi, ephemeral-storage: 1Gi}
evictionHard: {memory.available: 100Mi, nodefs.inodesFree: "${inodes - INODES_ROOM}", pid.available: "${pids - PIDS_ROOM}"}
evictionSoft: {nodefs.available: "${bytes - 3 * GI}"}
evictionSoftGracePeriod: {nodefs.available: ${SOFT_GRACE_S}s}
evictionMaxPodGracePeriod: 2
evictionPressureTransitionPeriod: 5s
`,
    );
    await t.restartAgent();
    await t.apply(
      t.pod('stays', IDLES),
      t.pod('files', `mkdir /f; cd /f; busybox seq 1 ${2 * INODES_ROOM} | busybox xargs touch; ${IDLES}`),
      t.pod('forks', `for i in $(busybox seq 1 ${2 * PIDS_ROOM}); do sleep 1000 & done; ${IDLES}`),
      t.pod('keeps', `busybox fallocate -l ${6 * GI} /keeps; ${IDLES}`, {}, { terminationGracePeriodSeconds: 600 }),
    );
  });
  afterAll(() => t?.cluster.stop());

  test('what is kept back for the system counts beside what is for the agent, and the thresholds', async () => {
    const amounts = await eventually('the node says what is left', PATIENCE_MS, async () => {
      const { capacity = {}, allocatable = {} } = (await t.nodeObject).status ?? {};
      const milli = Number(capacity['cpu']) * 1000 - Number.parseInt(allocatable['cpu'] ?? '', 10);
      return milli === 250 && { capacity, allocatable };
    });
    const kibibytes = (q = ''): number =>
      Number.parseInt(q, 10) * ({ Ki: 1, Mi: 1024, Gi: 1 << 20 }[q.slice(-2)] ?? 1 / 1024);
    const { capacity, allocatable } = amounts;
    expect(kibibytes(capacity['memory']) - kibibytes(allocatable['memory'])).toBe(600 * 1024);
    expect(
      kibibytes(capacity['ephemeral-storage']) - kibibytes(allocatable['ephemeral-storage']),
    ).toBeGreaterThanOrEqual(1 << 20);
  });

  test('inodes: the pod with the most files goes; process numbers: that with the most processes', async () => {
    expect((await failed('files')).status).toMatchObject({
      reason: 'Evicted',
      message: expect.stringMatching(
        /^The node was low on resource: inodes\. Threshold quantity: \d+k?, available: \d+k?\. /,
      ),
    });
    expect((await failed('forks')).status).toMatchObject({
      reason: 'Evicted',
      message: expect.stringMatching(
        /^The node was low on resource: pids\. Threshold quantity: \d+k?, available: \d+k?\. /,
      ),
    });
    await t.event(t.node, /^NodeHasInsufficientPID /);
    expect((await t.read('stays')).status?.phase).toBe('Running');
  });

  test('a soft threshold: the pod that fills the disk goes, not before the grace is over; others stay', async () => {
    const { status } = await failed('keeps');
    expect(status).toMatchObject({
      reason: 'Evicted',
      message: expect.stringMatching(/^The node was low on resource: ephemeral-storage\. Threshold quantity: /),
    });
    const times = status?.containerStatuses?.[0]?.state?.terminated;
    const lived = Date.parse(times?.finishedAt ?? '') - Date.parse(times?.startedAt ?? '');
    expect(lived).toBeGreaterThan(SOFT_GRACE_S * 1000);
    expect((await t.read('stays')).status?.phase).toBe('Running');
    await eventually('the node recovers', PATIENCE_MS, async () => {
      const all = await Promise.all([condition('DiskPressure'), condition('PIDPressure')]);
      return all.every((c) => c?.status === 'False');
    });
  });
});
