/** What a pod's containers share, what of a pod is reached from outside, and pods that no control plane made: on a real node. */
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DeepReadonly, Pod } from '#lib/api';
import { nodeHome } from '../../cli/layout.ts';
import { keepAway, liveContainers, signal, tended } from '../faults/host.ts';
import { background } from '../harness/background.ts';
import { eventually, startCluster, type TestCluster } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';
import { freePort } from '../harness/process.ts';
import { applyOk, getPod, isReady, orGone, podInPhase, pushHello, scriptPod } from './workload.ts';

const NS = 'default';
const SLEEPS = 'while true; do sleep 0.2; done';

describe('the life of pods on a node (root)', () => {
  let cluster: TestCluster;
  tellWhenFailed(() => cluster);
  let image: string;
  let node: string;
  let manifests: string;

  const sh = (name: string, script: string, more: object = {}) => ({
    name,
    image,
    command: ['sh', '-c', script],
    ...more,
  });
  const read = (name: string): Promise<DeepReadonly<Pod>> => getPod(cluster, NS, name);
  const ready = (name: string) => eventually(`${name} is ready`, 30_000, async () => isReady(await read(name)));
  const exec = async (pod: string, container: string, script: string): Promise<string> => {
    const r = await cluster.kubectl('exec', pod, '-c', container, '--', 'sh', '-c', script);
    return `${r.stdout}${r.stderr}`;
  };
  async function killAgent(): Promise<void> {
    const name = `agent-${node}`;
    const killed = await signal(cluster, name, 'SIGKILL');
    await eventually('the next agent', 20_000, async () => {
      const { pid } = await tended(cluster, name);
      return pid !== 0 && pid !== killed;
    });
  }
  /** As kubeadm or an editor does: beside, then renamed. */
  function putManifest(name: string, script: string, more: object = {}): void {
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, labels: { app: name } },
      spec: { terminationGracePeriodSeconds: 2, containers: [sh('main', script)], ...more },
    };
    mkdirSync(manifests, { recursive: true });
    writeFileSync(join(manifests, `.${name}`), JSON.stringify(pod));
    renameSync(join(manifests, `.${name}`), join(manifests, `${name}.json`));
  }

  beforeAll(async () => {
    cluster = await startCluster({ name: 'life' });
    node = cluster.layout.nodes[0]?.name ?? '';
    manifests = join(nodeHome(cluster.layout, node), 'manifests');
    image = await pushHello(cluster);
    await applyOk(
      cluster,
      scriptPod({
        name: 'shared',
        namespace: NS,
        image,
        spec: {
          restartPolicy: 'Always',
          shareProcessNamespace: true,
          terminationGracePeriodSeconds: 5,
          containers: [sh('a', `echo pid $$; sleep 7777 & ${SLEEPS}`), sh('b', `trap 'exit 3' TERM; ${SLEEPS}`)],
        },
      }),
      scriptPod({
        name: 'local',
        namespace: NS,
        image,
        spec: {
          containers: [
            sh(
              'main',
              'mkdir -p /w; echo inside > /w/index.html; httpd -p 127.0.0.1:8081 -h /w; httpd -f -p [::1]:8082 -h /w',
            ),
          ],
        },
      }),
    );
    /* Still there when the cluster is taken down: nothing of it may be left then. */
    await applyOk(
      cluster,
      scriptPod({ name: 'left', namespace: NS, image, script: SLEEPS, spec: { shareProcessNamespace: true } }),
    );
    await ready('shared');
    await ready('local');
  });
  afterAll(() => cluster?.stop());

  test('containers of a pod that shares its process namespace see and signal each other; restart and stop work', async () => {
    expect((await cluster.kubectl('logs', 'shared', '-c', 'a')).stdout).not.toBe('pid 1\n');
    const ps = await exec('shared', 'b', 'ps');
    expect(ps).toMatch(/^\s*1 .*pause/m);
    expect(ps).toMatch(/sleep 7777/);
    const before = await read('shared');
    /* b is killed from a; what a has left running ends with a. */
    await exec(
      'shared',
      'a',
      'for p in $(ps | grep "trap" | grep -v grep | sed "s/^ *//; s/ .*//"); do kill -TERM $p; done',
    ).catch(() => '');
    const status = (p: DeepReadonly<Pod>, name: string) => p.status?.containerStatuses?.find((s) => s.name === name);
    await eventually('b has been restarted', 40_000, async () => {
      const s = status(await read('shared'), 'b');
      return (s?.restartCount ?? 0) > 0 && s?.state?.running !== undefined;
    });
    expect(status(await read('shared'), 'b')?.lastState?.terminated?.exitCode).toBe(3);
    expect(status(await read('shared'), 'a')?.containerID).toBe(status(before, 'a')?.containerID);
    const ids = async () => (await read('shared')).status?.containerStatuses?.map((s) => s.containerID);
    const running = await ids();
    await killAgent();
    await eventually(
      'exec',
      20_000,
      async () => (await cluster.kubectl('exec', 'shared', '-c', 'a', '--', 'true')).code === 0,
    );
    expect(await ids()).toEqual(running);
    expect(await exec('shared', 'b', 'ps')).toMatch(/sleep 7777/);
    expect(await cluster.kubectl('delete', 'pod', 'shared', '--timeout=30s')).toMatchObject({ code: 0 });
    const uid = before.metadata.uid ?? '';
    expect((await liveContainers(cluster)).filter((x) => x.podUid === uid)).toEqual([]);
    expect(existsSync(join(nodeHome(cluster.layout, node), 'pods', uid))).toBe(false);
  });

  test('RestartAllContainers: the end of one begins all of the pod again, init containers first, at the same address', async () => {
    const mounts = { volumeMounts: [{ name: 'v', mountPath: '/v' }] };
    const rule = { action: 'RestartAllContainers', exitCodes: { operator: 'In', values: [42] } };
    const watch = 'if test -e /v/again; then sleep 3600; fi; touch /v/again; sleep 1; exit 42';
    await applyOk(
      cluster,
      scriptPod({
        name: 'restart-all',
        namespace: NS,
        image,
        spec: {
          volumes: [{ name: 'v', emptyDir: {} }],
          initContainers: [sh('init', 'echo init >> /v/log', mounts)],
          containers: [
            sh('watcher', watch, { ...mounts, restartPolicy: 'Never', restartPolicyRules: [rule] }),
            sh('worker', 'echo worker >> /v/log; sleep 3600', mounts),
          ],
        },
      }),
    );
    const ip = (await podInPhase(cluster, NS, 'restart-all', 'Running')).status?.podIP;
    const pod = await eventually('all run again', 40_000, async () => {
      const now = await getPod(cluster, NS, 'restart-all');
      const { containerStatuses = [], initContainerStatuses = [] } = now.status ?? {};
      const isAgain = [...containerStatuses, ...initContainerStatuses].every((s) => s.restartCount === 1);
      return isAgain && containerStatuses.every((s) => s.state?.running !== undefined) && now;
    });
    expect(pod.status?.podIP).toBe(ip);
    expect(pod.status?.conditions?.find((x) => x.type === 'AllContainersRestarting')?.status).toBe('False');
    const log = await cluster.kubectl('exec', 'restart-all', '-c', 'worker', '--', 'cat', '/v/log');
    expect(log.stdout).toBe('init\nworker\ninit\nworker\n');
  });

  test('rules let a container run again where its pod would not; a file of one container is the environment of another', async () => {
    const rules = [{ action: 'Restart', exitCodes: { operator: 'In', values: [42] } }];
    const mounts = { volumeMounts: [{ name: 'v', mountPath: '/v' }] };
    await applyOk(
      cluster,
      scriptPod({
        name: 'rules',
        namespace: NS,
        image,
        spec: {
          volumes: [{ name: 'v', emptyDir: {} }],
          securityContext: { runAsUser: 1000, runAsGroup: 2000, supplementalGroups: [3000], fsGroup: 3000 },
          initContainers: [sh('write', `echo "GREETING='hello you'" > /v/out.env`, mounts)],
          containers: [
            sh('main', 'echo "$GREETING"; if test -e /v/again; then exit 0; fi; touch /v/again; exit 42', {
              ...mounts,
              restartPolicy: 'Never',
              restartPolicyRules: rules,
              env: [
                { name: 'GREETING', valueFrom: { fileKeyRef: { volumeName: 'v', path: 'out.env', key: 'GREETING' } } },
              ],
            }),
          ],
        },
      }),
    );
    const ended = await podInPhase(cluster, NS, 'rules', 'Succeeded');
    expect(ended.status?.containerStatuses?.[0]).toMatchObject({
      restartCount: 1,
      state: { terminated: { exitCode: 0 } },
      user: { linux: { uid: 1000, gid: 2000, supplementalGroups: [2000, 3000] } },
      volumeMounts: expect.arrayContaining([
        { name: 'v', mountPath: '/v' },
        expect.objectContaining({ readOnly: true, recursiveReadOnly: 'Disabled' }),
      ]),
      stopSignal: 'SIGTERM',
    });
    expect((await cluster.kubectl('logs', 'rules')).stdout).toBe('hello you\n');
  });

  test('port-forward reaches what listens on the pod’s own loopback, IPv4 and IPv6, many at once; a proxy does not', async () => {
    for (const inside of [8081, 8082]) {
      const port = await freePort();
      await using forward = background('kubectl', ['port-forward', 'pod/local', `${port}:${inside}`], cluster.env);
      await forward.until(/Forwarding from 127\.0\.0\.1/);
      const pages = await Promise.all(
        Array.from({ length: 50 }, async () =>
          (await fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(20_000) })).text(),
        ),
      );
      expect(pages).toEqual(pages.map(() => 'inside\n'));
    }
    const proxied = await cluster.kubectl('get', '--raw', `/api/v1/namespaces/${NS}/pods/local:8081/proxy/`);
    expect(proxied.stderr).toMatch(/connect: connection refused/);
  });

  test('a static pod: seen in the API, made again there, followed through changes, adopted, removed', async () => {
    const others = (await liveContainers(cluster)).length;
    putManifest('web', `echo one; ${SLEEPS}`);
    const name = `web-${node}`;
    await eventually('its mirror is ready', 30_000, async () => {
      const pod = await orGone(read(name));
      return pod !== undefined && isReady(pod);
    });
    const first = await read(name);
    expect(first.metadata.annotations).toMatchObject({ 'kubernetes.io/config.source': 'file' });
    expect((await cluster.kubectl('logs', name)).stdout).toBe('one\n');
    expect((await cluster.kubectl('exec', name, '--', 'echo', 'in')).stdout).toBe('in\n');
    expect((await cluster.kubectl('describe', 'pod', name)).stdout).toMatch(/Started container main/);
    expect(await cluster.kubectl('delete', 'pod', name, '--wait=false')).toMatchObject({ code: 0 });
    await eventually('its mirror is made again', 20_000, async () => {
      const pod = await orGone(read(name));
      return pod !== undefined && pod.metadata.uid !== first.metadata.uid && isReady(pod);
    });
    const again = await read(name);
    expect(again.status?.containerStatuses?.[0]?.containerID).toBe(first.status?.containerStatuses?.[0]?.containerID);
    await killAgent();
    await eventually('logs', 20_000, async () => (await cluster.kubectl('logs', name)).stdout === 'one\n');
    expect((await read(name)).metadata.uid).toBe(again.metadata.uid);
    writeFileSync(
      join(manifests, 'bad.yaml'),
      'apiVersion: v1\nkind: Pod\nmetadata: {name: bad}\nspec: {containers: [{name: c}]}\n',
    );
    await eventually('an event of the bad file', 20_000, async () =>
      /bad\.yaml: invalid pod: spec\.containers\[0\]\.image: Required value/.test(
        (await cluster.kubectl('get', 'events', '--field-selector', 'reason=InvalidStaticPod')).stdout,
      ),
    );
    putManifest('web', `echo two; ${SLEEPS}`);
    await eventually('the changed pod', 30_000, async () => (await cluster.kubectl('logs', name)).stdout === 'two\n');
    rmSync(join(manifests, 'web.json'));
    await eventually('its end', 30_000, async () => (await orGone(read(name))) === undefined);
    await eventually('nothing left', 10_000, async () => (await liveContainers(cluster)).length === others);
  });

  test('without a control plane: a static pod begins, and restarts', async () => {
    {
      using _away = await keepAway(cluster, 'server');
      putManifest('alone', 'echo up; sleep 1; exit 1', { hostNetwork: true });
      await eventually('it has been restarted', 40_000, async () =>
        (await liveContainers(cluster)).some((x) => x.container === 'main' && x.attempt >= 1),
      );
    }
    await eventually('its mirror says so', 40_000, async () => {
      const pod = await orGone(read(`alone-${node}`)).catch(() => undefined);
      return (pod?.status?.containerStatuses?.[0]?.restartCount ?? 0) >= 1;
    });
    rmSync(join(manifests, 'alone.json'));
    await eventually('its end', 30_000, async () => (await orGone(read(`alone-${node}`))) === undefined);
  });
});
