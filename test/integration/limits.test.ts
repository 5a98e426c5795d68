/** What a container finds of its own limits, and what happens beyond them, by the specification that the agent writes. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ContainerSpec, PodObject } from '../../agent/pods/model.ts';
import { ociResourcesOf } from '../../agent/runtime/oci-resources.ts';
import type { ContainerId, StartContainer } from '../../agent/runtime/runtime.ts';
import { ociSpecOf } from '../../agent/runtime/spec.ts';
import { limitsInForce } from '../harness/cgroup-files.ts';
import { RuntimeHost } from './runtime-host.ts';

const MI = 1 << 20;
const PROGRAMS = ['crun', 'runc'];

describe.each(PROGRAMS)('limits of a container by %s', (program) => {
  let h: RuntimeHost;
  beforeAll(async () => {
    h = await RuntimeHost.open(program);
  });
  afterAll(() => h?.close());

  async function start(script: string, resources: object): Promise<StartContainer> {
    const o = h.container([]);
    const container = { name: 'c', image: 'i', resources } as ContainerSpec;
    const pod = { metadata: { name: 'p', uid: 'u' }, spec: { containers: [container] } } as unknown as PodObject;
    const { cgroups } = h.kernel;
    const image = {
      user: '',
      env: [],
      entrypoint: [],
      cmd: [],
      workingDir: '',
      stopSignal: '',
      volumes: [],
      labels: {},
    };
    const spec = ociSpecOf({
      pod,
      container,
      image,
      rootfs: h.rootfs,
      cgroupPath: join(h.group, o.id),
      namespaces: {},
      environment: new Map([['PATH', '/bin']]),
      args: ['sh', '-c', script],
      user: { uid: 0, gid: 0, additionalGids: [] },
      binds: [],
      resources: ociResourcesOf(pod, container, { ...cgroups.facts, version: cgroups.version, killsOneProcess: false }),
      hasCgroupNamespace: cgroups.version === 'v2',
      oomScoreAdj: 1000,
      hostname: 'p',
    });
    const { hostname: _, ...plain } = spec;
    const whole = { ...o, spec: plain };
    await h.runtime.start(whole, h.c);
    return whole;
  }
  const remove = (id: ContainerId): Promise<void> => h.runtime.remove(id, h.c);

  test('its program finds them where it looks: at the root of what it sees', async () => {
    const files =
      h.kernel.cgroups.version === 'v2'
        ? ['memory.max', 'cpu.max']
        : ['memory/memory.limit_in_bytes', 'cpu/cpu.cfs_quota_us'];
    const script = files.map((f) => `cat /sys/fs/cgroup/${f}`).join('; ');
    const o = await start(`${script}; sleep 1000`, {
      requests: { cpu: '250m' },
      limits: { cpu: '500m', memory: '48Mi' },
    });
    expect(await limitsInForce(join(h.group, o.id))).toMatchObject({ quotaUs: 50_000, memoryBytes: 48 * MI });
    const [, seen] = await h.exec(o.id, { argv: ['sh', '-c', script] });
    const [memory = '', cpu = ''] = seen.trim().split('\n');
    expect([Number(memory), Number(cpu.split(' ')[0])]).toEqual([48 * MI, 50_000]);
    if (h.kernel.cgroups.version === 'v2') {
      const [, group] = await h.exec(o.id, { argv: ['cat', '/proc/self/cgroup'] });
      expect(group.trim()).toBe('0::/');
    }
    await remove(o.id);
  });

  test('who goes over the memory limit is killed and the container told as OOMKilled; v2 kills all of it', async () => {
    const eats = 'a=x; while true; do a=$a$a; done';
    const o = await start(`sh -c '${eats}'; echo survived; sleep 1000`, { limits: { memory: '32Mi' } });
    if (h.kernel.cgroups.version === 'v2') {
      const end = await h.exited(o.id);
      expect(end).toMatchObject({ oomKilled: true, exitCode: 137 });
      expect(h.log(o).join()).not.toContain('survived');
    } else {
      while (!h.log(o).join().includes('survived')) await h.c.clock.sleep(20);
      expect((await h.kernel.cgroups.usage(join(h.group, o.id), h.c))?.oomKills).toBeGreaterThan(0);
    }
    await remove(o.id);
  });
});
