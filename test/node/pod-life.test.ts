/**
 * The life of pods, clause by clause, with real containers: in which order containers begin and end, what ends a pod, hooks
 * and signals as the program sees them, restarts, and what conditions and generations say. Containers write down when
 * something happens to them in a folder of the host, which outlives them.
 */
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type DeepReadonly, Kinds, type Pod } from '#lib/api';
import { realClock } from '#lib/base';
import { nodeHome } from '../../cli/layout.ts';
import { pushHello } from '../e2e/workload.ts';
import { liveContainers, signal, tended } from '../faults/host.ts';
import { background } from '../harness/background.ts';
import { eventually, startCluster, type TestCluster } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';
import { freePort } from '../harness/process.ts';
import { condition, containerStatus, NS, OBEYS, PodReader, REFUSES } from './pod-reader.ts';
import { Recorder } from './recorder.ts';

/** Before `crash` runs again for the third time. */
const RESTART_MAX_S = 15;
const GATE = 'example.com/served';
const FALLBACK = { terminationMessagePolicy: 'FallbackToLogsOnError' };
const MESSAGES = {
  log: { script: 'echo first; echo DONE; exit 1', more: FALLBACK, message: 'first\nDONE\n' },
  well: { script: 'echo DONE', more: FALLBACK, message: undefined },
  file: { script: 'echo OK > /dev/termination-log; echo log; exit 1', more: FALLBACK, message: 'OK\n' },
  filewell: { script: 'echo OK > /dev/termination-log; echo log', more: FALLBACK, message: 'OK\n' },
  plain: { script: 'echo log; exit 1', more: {}, message: undefined },
  elsewhere: {
    script: 'echo DONE > /dev/own-message',
    more: { terminationMessagePath: '/dev/own-message', securityContext: { runAsUser: 1000 } },
    message: 'DONE\n',
  },
};
/** One request at a time, each written down. */
const SERVES = `nc -ll -p 8080 -e sh -c 'read l; echo "$l" >> /w/served; echo -e "HTTP/1.0 200 OK\\r\\n\\r"' & trap 'exit 0' TERM; sleep 100000 & wait`;

/** What a server's small unmasked frames carry (RFC 6455, 5.2), up to its close. */
function payloads(bytes: Buffer): [opcode: number, text: string][] {
  const out: [number, string][] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = bytes[at + 1] ?? 0;
    out.push([(bytes[at] ?? 0) & 15, bytes.toString('latin1', at + 2, at + 2 + length)]);
    at += 2 + length;
  }
  return out.slice(0, -1);
}

describe('pods from their beginning to their end (root)', () => {
  let cluster: TestCluster;
  tellWhenFailed(() => cluster);
  let pods: PodReader;
  let recorder: Recorder;
  /** At /w in containers. */
  let folder: string;

  const written = async (name: string): Promise<string[]> =>
    (await readFile(join(folder, name), 'utf8').catch(() => '')).split('\n').filter((l) => l !== '');
  const remove = (name: string, ...args: string[]) => cluster.kubectl('delete', 'pod', name, '--wait=false', ...args);
  const patch = (name: string, body: object): Promise<DeepReadonly<Pod>> =>
    cluster.client.patch(Kinds.pods, { namespace: NS, name }, { type: 'merge', body }, cluster.ctx);

  const noted = { volumeMounts: [{ name: 'w', mountPath: '/w' }] };
  const scratch = { volumeMounts: [{ name: 'v', mountPath: '/v' }] };
  const volumes = (): object[] => [
    { name: 'w', hostPath: { path: folder } },
    { name: 'v', emptyDir: {} },
  ];
  /** Notes that it is up, that it is asked to end, and that it ends, `lastsS` later. */
  const noting = (name: string, o: { before?: string; after?: string; lastsS?: number } = {}): string =>
    `trap 'echo ${name} asked >> /w/order; sleep ${o.lastsS ?? 0.3}; echo ${name} ends >> /w/order; exit 0' TERM; ${o.before ?? ''} echo ${name} up >> /w/order; ${o.after ?? ''} sleep 100000 & wait`;
  /** Notes by the machine's uptime when it is up and when it is asked to end. */
  const timed = (name: string): string =>
    `at() { read u _ < /proc/uptime; echo ${name} $1 $u >> /w/times; }; trap 'at asked; exit 0' TERM; at up; sleep 100000 & wait`;

  function orderPods(): unknown[] {
    const { sh, pod } = kit();
    const both = { volumeMounts: [...noted.volumeMounts, ...scratch.volumeMounts] };
    const probe = {
      startupProbe: { exec: { command: ['test', '-e', '/v/ok'] }, periodSeconds: 1, failureThreshold: 60 },
    };
    return [
      pod('inits', [sh('main', 'echo main >> /v/o; cat /v/o', scratch)], {
        restartPolicy: 'Never',
        volumes: volumes(),
        initContainers: [
          sh('one', 'echo one begins >> /v/o; sleep 1; echo one ends >> /v/o', scratch),
          sh('two', 'echo two >> /v/o', scratch),
        ],
      }),
      pod('badinit', [sh('main', 'true')], { initContainers: [sh('fails', 'exit 5')] }),
      pod('ordered', [sh('a', noting('a', { lastsS: 1 }), noted), sh('b', noting('b', { lastsS: 1 }), noted)], {
        terminationGracePeriodSeconds: 20,
        volumes: volumes(),
        initContainers: [
          sh('s1', noting('s1', { before: 'sleep 1;', after: 'touch /v/ok;' }), {
            restartPolicy: 'Always',
            ...both,
            ...probe,
          }),
          sh('init', 'echo init >> /w/order', noted),
          sh('s2', noting('s2'), { restartPolicy: 'Always', ...noted }),
        ],
      }),
    ];
  }

  function endingPods(): unknown[] {
    const { sh, pod } = kit();
    const { port } = recorder;
    const more = { terminationGracePeriodSeconds: 20, volumes: volumes() };
    const hooks = {
      postStart: { httpGet: { ...recorder.get('/post-start?a=b'), httpHeaders: [{ name: 'X-Hook', value: 'begin' }] } },
      preStop: { httpGet: { path: '/pre-stop?c=d', port: 8080 } },
    };
    return [
      pod('short', [sh('main', OBEYS)], { activeDeadlineSeconds: 2 }),
      pod('shortened', [sh('main', OBEYS)], { activeDeadlineSeconds: 600 }),
      pod('hooks', [sh('main', SERVES, { ...noted, lifecycle: hooks })], more),
      pod(
        'sleeps',
        [
          sh('first', timed('first'), { ...noted, lifecycle: { postStart: { sleep: { seconds: 2 } } } }),
          sh('second', timed('second'), { ...noted, lifecycle: { preStop: { sleep: { seconds: 2 } } } }),
        ],
        more,
      ),
      pod(
        'signal',
        [
          sh('main', `trap '' TERM; trap 'echo usr1 > /w/signal; exit 0' USR1; sleep 100000 & wait`, {
            ...noted,
            lifecycle: { stopSignal: 'SIGUSR1' },
          }),
        ],
        { ...more, os: { name: 'linux' } },
      ),
      pod('refused', [
        sh('main', OBEYS, { lifecycle: { postStart: { httpGet: { host: '127.0.0.1', path: '/no', port } } } }),
      ]),
    ];
  }

  function statusPods(): unknown[] {
    const { sh, pod } = kit();
    const twice = 'echo x >> /v/runs; test $(wc -l < /v/runs) -ge 2';
    return [
      pod(
        'messages',
        Object.entries(MESSAGES).map(([name, { script, more }]) => sh(name, script, more)),
        { restartPolicy: 'Never' },
      ),
      pod('onfailure', [sh('fails', twice, scratch), sh('well', 'true')], {
        restartPolicy: 'OnFailure',
        volumes: volumes(),
      }),
      pod('crash', [sh('main', 'exit 3')]),
      pod('gated', [sh('main', OBEYS)], { readinessGates: [{ conditionType: GATE }] }),
      pod(
        'versions',
        [sh('main', REFUSES)],
        { activeDeadlineSeconds: 1000, terminationGracePeriodSeconds: 3 },
        { generation: 100 },
      ),
    ];
  }

  const kit = () => ({
    sh: (...a: Parameters<PodReader['sh']>) => pods.sh(...a),
    pod: (...a: Parameters<PodReader['pod']>) => pods.pod(...a),
  });

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'berth-node-life-'));
    await chmod(folder, 0o777);
    [cluster, recorder] = await Promise.all([startCluster({ name: 'plif' }), Recorder.open()]);
    recorder.answer('/no', { status: 500 });
    const node = cluster.layout.nodes[0]?.name ?? '';
    await writeFile(
      join(nodeHome(cluster.layout, node), 'kubelet.yaml'),
      `apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\ncrashLoopBackOff: {maxContainerRestartPeriod: ${RESTART_MAX_S}s}\n`,
    );
    const before = await signal(cluster, `agent-${node}`, 'SIGTERM');
    pods = new PodReader(cluster, await pushHello(cluster));
    await eventually('the agent with its settings', 30_000, async () => {
      const { pid } = await tended(cluster, `agent-${node}`);
      return pid !== 0 && pid !== before;
    });
    await pods.apply(...statusPods(), ...endingPods(), ...orderPods());
  });
  afterAll(async () => {
    await cluster?.stop();
    await recorder?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  test('init containers run one after the other; one that fails again and again keeps the others waiting', async () => {
    await pods.phase('inits', 'Succeeded');
    expect((await pods.lines('inits')).filter((l) => l !== '')).toEqual(['one begins', 'one ends', 'two', 'main']);
    const bad = await pods.until(
      'badinit',
      'restarted',
      (p) => (p.status?.initContainerStatuses?.[0]?.restartCount ?? 0) > 0,
    );
    expect(bad.status?.phase).toBe('Pending');
    expect(condition(bad, 'Initialized')).toMatchObject({
      status: 'False',
      reason: 'ContainersNotInitialized',
      message: 'containers with incomplete status: [fails]',
    });
    expect(containerStatus(bad, 'main').state).toEqual({ waiting: { reason: 'PodInitializing' } });
  });

  test('a log over a WebSocket: as bytes and as base64; what cannot be shown is refused before', async () => {
    await pods.phase('inits', 'Succeeded');
    const port = await freePort();
    await using proxy = background('kubectl', ['proxy', `--port=${port}`], cluster.env);
    await proxy.until(/Starting to serve/);
    const ask = (pod: string, protocol: string) =>
      new Promise<[status: number, bytes: Buffer]>((resolve, reject) => {
        const path = `/api/v1/namespaces/${NS}/pods/${pod}/log?container=main`;
        const key = { 'Sec-WebSocket-Version': 13, 'Sec-WebSocket-Key': 'MDEyMzQ1Njc4OWFiY2RlZg==' };
        const headers = { Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Protocol': protocol, ...key };
        const req = request({ host: '127.0.0.1', port, path, headers }, (res) => {
          res.resume();
          resolve([res.statusCode ?? 0, Buffer.alloc(0)]);
        });
        req.on('error', reject);
        req.on('upgrade', (res, socket, head) => {
          const chunks: Buffer[] = [];
          const take = (chunk: Buffer): void => {
            chunks.push(chunk);
            /* The server's close is answered by an end. */
            if (payloads(Buffer.concat(chunks)).length > 1) socket.end();
          };
          socket.on('data', take);
          /* All may have come with the answer. */
          take(head);
          socket.on('error', reject);
          socket.on('close', () => resolve([res.statusCode ?? 0, Buffer.concat(chunks)]));
        });
        req.end();
      });
    const text = 'one begins\none ends\ntwo\nmain\n';
    const [status, bytes] = await ask('inits', 'binary.k8s.io');
    expect([status, payloads(bytes)]).toEqual([
      101,
      [
        [2, ''],
        [2, text],
      ],
    ]);
    const [, coded] = await ask('inits', 'base64.binary.k8s.io');
    expect(payloads(coded)).toEqual([
      [1, ''],
      [1, Buffer.from(text).toString('base64')],
    ]);
    expect((await ask('badinit', 'binary.k8s.io'))[0]).toBe(400);
    expect((await ask('inits', 'v5.channel.k8s.io'))[0]).toBe(400);
  });

  test('termination messages: the log of a program that failed, where it wrote none of its own', async () => {
    const ended = await pods.phase('messages', 'Failed');
    for (const [name, { message }] of Object.entries(MESSAGES))
      expect([name, containerStatus(ended, name).state?.terminated?.message]).toEqual([name, message]);
  });

  test('restartPolicy OnFailure: what failed runs again, what ended well does not', async () => {
    const ended = await pods.phase('onfailure', 'Succeeded');
    expect(containerStatus(ended, 'fails')).toMatchObject({
      restartCount: 1,
      lastState: { terminated: { exitCode: 1 } },
    });
    expect(containerStatus(ended, 'well')).toMatchObject({ restartCount: 0, state: { terminated: { exitCode: 0 } } });
  });

  test('a readiness gate: not ready before its condition is True; only what changed has a new transition time', async () => {
    const closed = await pods.until(
      'gated',
      'its containers ready',
      (p) => condition(p, 'ContainersReady')?.status === 'True',
    );
    expect(condition(closed, 'Ready')).toMatchObject({
      status: 'False',
      reason: 'ReadinessGatesNotReady',
      message: `corresponding condition of pod readiness gate "${GATE}" does not exist or is not True.`,
    });
    const times = (p: DeepReadonly<Pod>, type: string): number =>
      Date.parse(condition(p, type)?.lastTransitionTime ?? '');
    const since = times(closed, 'Ready');
    await eventually('a second has gone by', 5_000, async () => realClock.now() - since > 2_000);
    const begin = Math.floor(realClock.now() / 1000) * 1000;
    const now = new Date(realClock.now()).toISOString();
    const open = { conditions: [{ type: GATE, status: 'True', lastTransitionTime: now }] };
    const key = { namespace: NS, name: 'gated' };
    const how = { subresource: 'status' };
    await cluster.client.patch(Kinds.pods, key, { type: 'strategic', body: { status: open } }, cluster.ctx, how);
    const ready = await pods.ready('gated');
    expect(times(ready, 'Ready')).toBeGreaterThanOrEqual(begin);
    for (const type of ['PodScheduled', 'Initialized', 'ContainersReady', 'PodReadyToStartContainers'])
      expect([type, times(ready, type)]).toEqual([type, times(closed, type)]);
    expect(condition(ready, GATE)?.status).toBe('True');
  });

  test('activeDeadlineSeconds ends a pod as failed, a changed one too', async () => {
    const ended = await pods.phase('short', 'Failed');
    expect(ended.status).toMatchObject({ reason: 'DeadlineExceeded' });
    const long = await pods.ready('shortened');
    await patch('shortened', { spec: { activeDeadlineSeconds: 1 } });
    expect((await pods.phase('shortened', 'Failed', 10_000)).status?.reason).toBe('DeadlineExceeded');
    const uids = [ended.metadata.uid, long.metadata.uid];
    await eventually('nothing of them runs', 10_000, async () =>
      (await liveContainers(cluster)).every((c) => !uids.includes(c.podUid)),
    );
  });

  test('generations: 1 at first, one more with each change; the node says which it has seen, a deletion is one more', async () => {
    const first = await pods.until('versions', 'seen', (p) => p.status?.observedGeneration === 1);
    expect(first.metadata.generation).toBe(1);
    await pods.ready('versions');
    for (let n = 1; n <= 20; n++) await patch('versions', { spec: { activeDeadlineSeconds: 1000 - n } });
    const changed = await pods.until('versions', 'seen whole', (p) => p.status?.observedGeneration === 21, 10_000);
    expect(changed.metadata.generation).toBe(21);
    await patch('versions', { metadata: { labels: { a: 'b' } } });
    expect((await pods.read('versions')).metadata.generation).toBe(21);
    await pods.until('versions', 'in its conditions', (p) => condition(p, 'Ready')?.observedGeneration === 21, 10_000);
    await remove('versions');
    expect((await pods.read('versions')).metadata.generation).toBe(22);
  });

  test('hooks by HTTP: postStart with its headers, preStop at the pod’s own address; one that is refused ends its container', async () => {
    await pods.ready('hooks');
    const seen = recorder.of('/post-start?a=b');
    expect(seen).toHaveLength(1);
    expect(seen[0]?.headers).toMatchObject({ 'x-hook': 'begin' });
    expect(await written('served')).toEqual([]);
    await remove('hooks');
    await pods.gone('hooks');
    expect(await written('served')).toEqual(['GET /pre-stop?c=d HTTP/1.1\r']);
    await pods.until('refused', 'restarted', (p) => containerStatus(p, 'main').restartCount > 0);
    expect(await pods.events('refused')).toMatch(/FailedPostStartHook/);
  });

  test('sleep as a hook: postStart holds the next container back, preStop the signal', async () => {
    await pods.ready('sleeps');
    const at = async (what: string): Promise<number> =>
      Number((await written('times')).find((l) => l.startsWith(what))?.slice(what.length));
    expect((await at('second up')) - (await at('first up'))).toBeGreaterThan(1.9);
    const [uptime = ''] = (await readFile('/proc/uptime', 'utf8')).split(' ');
    await remove('sleeps');
    await pods.gone('sleeps');
    expect((await at('first asked')) - Number(uptime)).toBeLessThan(2);
    expect((await at('second asked')) - Number(uptime)).toBeGreaterThan(1.9);
  });

  test('stopSignal: what the pod names is sent', async () => {
    expect(containerStatus(await pods.ready('signal'), 'main').stopSignal).toBe('SIGUSR1');
    await remove('signal');
    await pods.gone('signal', 10_000);
    expect(await written('signal')).toEqual(['usr1']);
  });

  test('sidecars begin in order, each when the one before has started, and end in reverse after the others', async () => {
    await pods.ready('ordered');
    const up = await written('order');
    expect([...up.slice(0, 3), ...up.slice(3).sort()]).toEqual(['s1 up', 'init', 's2 up', 'a up', 'b up']);
    await remove('ordered');
    await pods.gone('ordered');
    const down = (await written('order')).slice(5);
    expect(down.slice(0, 2).sort()).toEqual(['a asked', 'b asked']);
    expect(down.slice(2, 4).sort()).toEqual(['a ends', 'b ends']);
    expect(down.slice(4)).toEqual(['s2 asked', 's2 ends', 's1 asked', 's1 ends']);
  });

  test('CrashLoopBackOff: the wait doubles up to what the node’s configuration allows; a pod in it can be deleted', async () => {
    const message = (s: number): string => `back-off ${s}s restarting failed container=main pod=crash_${NS}(`;
    const waits = (restarts: number) =>
      pods.until('crash', `waits after ${restarts} restarts`, (p) => {
        const { restartCount, state } = containerStatus(p, 'main');
        return restartCount >= restarts && state?.waiting?.message?.startsWith(message(RESTART_MAX_S)) === true;
      });
    const second = containerStatus(await waits(2), 'main');
    const ended = Date.parse(second.lastState?.terminated?.finishedAt ?? '');
    const next = second.restartCount + 1;
    const third = await pods.until('crash', 'runs again', (p) => containerStatus(p, 'main').restartCount === next);
    const { state, lastState } = containerStatus(third, 'main');
    /* Of the attempt that is seen running, ended, or waiting for the next one. */
    const attempt = state?.running ?? state?.terminated ?? lastState?.terminated;
    const began = Date.parse(attempt?.startedAt ?? '');
    expect(began - ended).toBeGreaterThanOrEqual(RESTART_MAX_S * 1000);
    expect(began - ended).toBeLessThan((RESTART_MAX_S + 4) * 1000);
    await waits(next);
    await remove('crash');
    await pods.gone('crash', 10_000);
  });
});
