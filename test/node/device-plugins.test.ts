/**
 * Devices of a plugin in real containers: a small plugin (test/device-plugin), a process of its own, whose devices are /dev/zero
 * by other names.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Kinds } from '#lib/api';
import { podResourcesService } from '../../agent/devices/pod-resources.ts';
import { type Method, PluginClient } from '../../agent/plugins/client.ts';
import { nodeHome } from '../../cli/layout.ts';
import { applyOk, getPod, podInPhase, pushHello, scriptPod } from '../e2e/workload.ts';
import { liveContainers, notTheSame, signal } from '../faults/host.ts';
import { eventually, startCluster, type TestCluster } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';

const NS = 'default';
const RESOURCE = 'test.berth.dev/zero';
interface Resources {
  readonly pod_resources: {
    readonly containers: readonly { readonly devices: readonly { readonly device_ids: readonly string[] }[] }[];
  };
}

const MAIN = fileURLToPath(new URL('../device-plugin/main.ts', import.meta.url));

describe('device plugins (root)', () => {
  let t: TestCluster;
  tellWhenFailed(() => t);
  let image: string;
  let node: string;
  let plugin: ChildProcess;

  const folder = (): string => join(nodeHome(t.layout, node), 'kubelet/device-plugins');
  const pod = (name: string, count: number, script: string, container: object = {}, spec: object = {}) =>
    scriptPod({
      name,
      namespace: NS,
      image,
      spec: {
        containers: [
          {
            name: 'main',
            image,
            command: ['sh', '-c', script],
            resources: { limits: { [RESOURCE]: String(count) } },
            ...container,
          },
        ],
        ...spec,
      },
    });
  const amounts = async (): Promise<string> => {
    const { capacity, allocatable } =
      (await t.client.get(Kinds.nodes, { namespace: '', name: node }, t.ctx)).status ?? {};
    return `${allocatable?.[RESOURCE] ?? '-'} of ${capacity?.[RESOURCE] ?? '-'}`;
  };
  /** As the node says to programs beside it. */
  const devicesOf = async (name: string): Promise<string[]> => {
    using client = new PluginClient(join(folder(), '../pod-resources/kubelet.sock'));
    const { Get } = podResourcesService() as { Get: Method<object, Resources> };
    const { pod_resources: found } = await client.call(Get, { pod_name: name, pod_namespace: NS }, 5_000, t.ctx);
    return found.containers.flatMap((x) => x.devices.flatMap((d) => d.device_ids));
  };
  const kubectl = async (...args: string[]): Promise<string> => {
    const r = await t.kubectl(...args);
    expect(r, `kubectl ${args.join(' ')}`).toMatchObject({ code: 0 });
    return r.stdout;
  };
  const startPlugin = async (): Promise<void> => {
    plugin = spawn(process.execPath, ['--import', 'tsx', MAIN, folder(), '3'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(plugin.stdout ?? plugin, 'data');
  };
  const killPlugin = async (): Promise<void> => {
    if (plugin.exitCode !== null || plugin.signalCode !== null) return;
    const ended = once(plugin, 'exit');
    plugin.kill('SIGKILL');
    await ended;
  };

  beforeAll(async () => {
    t = await startCluster({ name: 'dev' });
    node = t.layout.nodes[0]?.name ?? '';
    image = await pushHello(t);
    await startPlugin();
  });
  afterAll(async () => {
    await killPlugin();
    await t?.stop();
  });

  test('devices are counted; a container gets as many as it asks for, with all that the plugin gives, and no others', async () => {
    await eventually('3 devices', 20_000, async () => (await amounts()) === '3 of 3');
    const script =
      'ls /dev | grep zero-; echo $ZERO_DEVICES $GREETING; head -c 4 /dev/zero-d1 | wc -c; cat /etc/of-the-host; ' +
      '(exec 3</dev/pipe-d0) && echo read; (exec 3>/dev/pipe-d0) 2>/dev/null || echo not written; sleep 1000';
    /* Whoever may make one cannot open it: the cgroup has no rule for it. */
    const without =
      'ls /dev | grep zero-; mknod /tmp/pipe c 10 229; (exec 3</tmp/pipe) 2>/dev/null || echo not opened; sleep 1000';
    await applyOk(
      t,
      pod('two', 2, script, { env: [{ name: 'GREETING', value: 'of the pod' }] }),
      scriptPod({ name: 'none', namespace: NS, image, script: without }),
      pod('many', 2, 'true'),
    );
    await podInPhase(t, NS, 'two', 'Running');
    await podInPhase(t, NS, 'none', 'Running');
    const hostName = await readFile('/etc/hostname', 'utf8');
    const wanted = `zero-d0\nzero-d1\nd0,d1 of the pod\n4\n${hostName.trimEnd()}\nread\nnot written\n`;
    await expect.poll(() => kubectl('logs', 'two')).toBe(wanted);
    await expect.poll(() => kubectl('logs', 'none')).toBe('not opened\n');
    expect(await devicesOf('two')).toEqual(['d0', 'd1']);
    await eventually('it waits', 10_000, async () =>
      new RegExp(`Insufficient ${RESOURCE}`).test(await kubectl('describe', 'pod', 'many')),
    );
    await kubectl('delete', 'pod', 'many', '--timeout=20s');
  });

  test('a sick device is none to be had; a pod that comes past the scheduler is refused', async () => {
    await writeFile(`${folder()}.sick`, 'd2');
    await eventually('2 devices', 20_000, async () => (await amounts()) === '2 of 3');
    await applyOk(t, pod('forced', 1, 'true', {}, { nodeName: node }));
    const forced = await podInPhase(t, NS, 'forced', 'Failed');
    expect(forced.status).toMatchObject({
      reason: 'UnexpectedAdmissionError',
      message: `Allocate failed due to requested number of devices unavailable for ${RESOURCE}. Requested: 1, Available: 0, which is unexpected`,
    });
    await writeFile(`${folder()}.sick`, '');
    await eventually('3 devices', 20_000, async () => (await amounts()) === '3 of 3');
  });

  test('agent and plugin die: containers run on, a container that is started anew has its devices again', async () => {
    const before = await liveContainers(t);
    await signal(t, `agent-${node}`, 'SIGKILL');
    await eventually('the plugin is known again', 30_000, async () => {
      await applyOk(t, pod('third', 1, 'echo $ZERO_DEVICES; sleep 1000'));
      return (await getPod(t, NS, 'third')).status?.phase === 'Running';
    });
    expect(await notTheSame(before)).toEqual([]);
    expect(await kubectl('logs', 'third')).toBe('d2\n');
    await killPlugin();
    await eventually('none', 20_000, async () => (await amounts()) === '0 of 3');
    await startPlugin();
    await eventually('3 devices', 20_000, async () => (await amounts()) === '3 of 3');
    await kubectl('delete', 'pod', 'two', 'third', '--timeout=40s');
    await applyOk(t, pod('all', 3, 'echo $ZERO_DEVICES; sleep 1000'));
    await podInPhase(t, NS, 'all', 'Running');
    await eventually('all', 10_000, async () => (await kubectl('logs', 'all')) === 'd0,d1,d2\n');
  });
});
