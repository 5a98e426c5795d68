/**
 * Probes of real containers: each handler, each timing, what a failure does and when. Most probes go to a recorder on the
 * node, which says when they came and answers as a test wants; the rest go to the pod itself.
 */
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ContainerStatus, DeepReadonly, Pod } from '#lib/api';
import { pushHello } from '../e2e/workload.ts';
import { keepAway, liveContainers } from '../faults/host.ts';
import { eventually, startCluster, type TestCluster } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';
import { condition, containerStatus, OBEYS, PodReader, REFUSES } from './pod-reader.ts';
import { Recorder } from './recorder.ts';

/** What a machine under load may add to a wait. */
const SLACK_MS = 2_500;
const ONCE = { periodSeconds: 1, failureThreshold: 1 };
/** httpd, and a page that goes after two seconds. */
const FADES = `mkdir /tmp/w; echo well > /tmp/w/healthz; httpd -p 8090 -h /tmp/w; sleep 2; rm /tmp/w/healthz; ${OBEYS}`;
const HEALTH_SERVER = fileURLToPath(new URL('grpc-health.mjs', import.meta.url));

describe('probes on a node (root)', () => {
  let cluster: TestCluster;
  tellWhenFailed(() => cluster);
  let pods: PodReader;
  let recorder: Recorder;

  const at = (path: string, o: object = {}): object => ({ httpGet: recorder.get(path), periodSeconds: 1, ...o });
  /** Containers that do nothing but live, each with its probes. */
  const idle = (name: string, probes: object, script = OBEYS): object => pods.sh(name, script, probes);
  const ms = (time: string | undefined): number => Date.parse(time ?? '');
  const restarted = (pod: string, name: string, limitMs = 30_000): Promise<DeepReadonly<ContainerStatus>> =>
    pods
      .until(pod, `${name} restarted`, (p) => containerStatus(p, name).restartCount > 0, limitMs)
      .then((p) => containerStatus(p, name));
  const ready = (pod: string, name: string): Promise<DeepReadonly<Pod>> =>
    pods.until(pod, `${name} ready`, (p) => containerStatus(p, name).ready);

  /** All of them live through the whole test. */
  function steadyPod(): unknown {
    const own = [
      { name: 'Host', value: 'my.example' },
      { name: 'X-A', value: '1' },
      { name: 'User-Agent', value: 'own' },
    ];
    const exec = (command: string[], o: object = {}) => ({ exec: { command }, ...ONCE, ...o });
    return pods.pod('steady', [
      pods.sh('web', `echo well > /www/healthz; exec httpd -f -p 8080 -h /www`, {
        ports: [{ name: 'page', containerPort: 8080 }],
        livenessProbe: { httpGet: { path: '/healthz', port: 8080 }, initialDelaySeconds: 1, ...ONCE },
        readinessProbe: { httpGet: { path: '/healthz', port: 'page' }, periodSeconds: 1 },
      }),
      idle('tcp', {
        livenessProbe: { tcpSocket: { port: 8080 }, initialDelaySeconds: 2, ...ONCE },
        readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 },
      }),
      idle('notcp', { readinessProbe: { tcpSocket: { port: 8081 }, periodSeconds: 1 } }),
      idle('exec', { livenessProbe: exec(['true']), readinessProbe: exec(['sh', '-c', 'test $(hostname) = steady']) }),
      idle('noexec', { readinessProbe: exec(['false']) }),
      idle('headers', {
        readinessProbe: at('/headers', { httpGet: { ...recorder.get('/headers'), httpHeaders: own } }),
      }),
      idle('plain', { readinessProbe: at('/plain?a=b') }),
      idle('follows', { readinessProbe: at('/from') }),
      idle('badturn', { readinessProbe: at('/from-bad') }),
      idle('elsewhere', { readinessProbe: at('/elsewhere') }),
      idle('slow', { livenessProbe: at('/slow', { timeoutSeconds: 4, failureThreshold: 1 }) }),
      idle('late', { readinessProbe: at('/late', { initialDelaySeconds: 4 }) }),
      idle('away', { livenessProbe: at('/away', { failureThreshold: 1 }) }, "trap 'exit 7' TERM; sleep 100000 & wait"),
    ]);
  }

  /** Each of them is restarted, or never ready. */
  function failingPods(): unknown[] {
    return [
      pods.pod(
        'failing',
        [
          idle('dying', {
            livenessProbe: at('/dying', { initialDelaySeconds: 3, periodSeconds: 2, failureThreshold: 3 }),
          }),
          idle('silent', { livenessProbe: at('/silence', { ...ONCE, timeoutSeconds: 1 }) }),
          idle('execslow', { livenessProbe: { exec: { command: ['sleep', '60'] }, ...ONCE } }),
          idle('notcp', { livenessProbe: { tcpSocket: { port: 8081 }, ...ONCE } }),
          idle('grace', { livenessProbe: at('/grace', { ...ONCE, terminationGracePeriodSeconds: 2 }) }, REFUSES),
          idle(
            'startgrace',
            { startupProbe: at('/startgrace', { ...ONCE, terminationGracePeriodSeconds: 2 }) },
            REFUSES,
          ),
        ],
        { terminationGracePeriodSeconds: 40 },
      ),
      pods.pod('never', [idle('main', { startupProbe: at('/never', { failureThreshold: 2 }) })]),
      pods.pod('fades', [
        pods.sh('main', FADES, {
          livenessProbe: { httpGet: { path: '/healthz', port: 8090 }, initialDelaySeconds: 1, ...ONCE },
        }),
      ]),
      pods.pod('unready', [idle('main', { readinessProbe: at('/unready') })]),
      pods.pod('starting', [
        idle('main', {
          startupProbe: at('/start', { failureThreshold: 300 }),
          livenessProbe: at('/start-live', ONCE),
          readinessProbe: at('/start-ready'),
        }),
      ]),
      pods.pod('turning', [
        idle('main', { readinessProbe: at('/turning', { failureThreshold: 3, successThreshold: 3 }) }),
      ]),
    ];
  }

  function grpcPod(): unknown {
    const folders = ['/usr', '/lib', '/lib64'];
    const grpc = (service?: string) => ({ grpc: { port: 9000, ...(service === undefined ? {} : { service }) } });
    const after = { ...ONCE, initialDelaySeconds: 2 };
    return pods.pod(
      'grpc',
      [
        pods.sh('server', 'exec /usr/bin/node /health.mjs', {
          volumeMounts: [...folders, '/health.mjs'].map((mountPath, i) => ({
            name: `v${i}`,
            mountPath,
            readOnly: true,
          })),
          startupProbe: { ...grpc('good'), periodSeconds: 1, failureThreshold: 60, timeoutSeconds: 2 },
          livenessProbe: { ...grpc('good'), ...ONCE, failureThreshold: 3 },
          readinessProbe: { ...grpc('good'), periodSeconds: 1 },
        }),
        idle('bad', { readinessProbe: { ...grpc('bad'), periodSeconds: 1 } }),
        idle('unknown', { readinessProbe: { ...grpc('unknown'), periodSeconds: 1 } }),
        idle('fades', {
          startupProbe: { ...grpc('good'), periodSeconds: 1, failureThreshold: 60 },
          livenessProbe: { ...grpc(), ...after },
        }),
      ],
      {
        volumes: [...folders, HEALTH_SERVER].map((path, i) => ({ name: `v${i}`, hostPath: { path } })),
      },
    );
  }

  beforeAll(async () => {
    [cluster, recorder] = await Promise.all([startCluster({ name: 'prob' }), Recorder.open()]);
    for (const path of ['/never', '/unready', '/start', '/to-bad']) recorder.answer(path, { status: 500 });
    /* The attempts after the first live, however late a test looks at them. */
    recorder.answer('/dying', { status: 500, times: 3 });
    for (const path of ['/grace', '/startgrace']) recorder.answer(path, { status: 500, times: 1 });
    recorder.answer('/silence', 'silence');
    recorder.answer('/slow', { status: 200, afterMs: 1_800 });
    recorder.answer('/from', { status: 302, headers: { location: '/to' } });
    recorder.answer('/from-bad', { status: 302, headers: { location: '/to-bad' } });
    recorder.answer('/elsewhere', { status: 302, headers: { location: 'http://elsewhere.invalid/' } });
    pods = new PodReader(cluster, await pushHello(cluster));
    await pods.apply(steadyPod(), ...failingPods(), grpcPod());
  });
  afterAll(async () => {
    await cluster?.stop();
    await recorder?.[Symbol.asyncDispose]();
  });

  test('httpGet: at the pod’s own address by number and name of the port, with the kubelet’s headers or the pod’s own', async () => {
    await ready('steady', 'web');
    await Promise.all([ready('steady', 'plain'), ready('steady', 'headers')]);
    expect(recorder.of('/plain?a=b')[0]?.headers).toMatchObject({
      host: `127.0.0.1:${recorder.port}`,
      'user-agent': expect.stringMatching(/^kube-probe\/1\.36/),
      accept: '*/*',
    });
    expect(recorder.of('/headers')[0]?.headers).toMatchObject({ host: 'my.example', 'x-a': '1', 'user-agent': 'own' });
  });

  test('httpGet: redirects are followed on the same host only', async () => {
    const status = await ready('steady', 'elsewhere');
    await ready('steady', 'follows');
    expect(recorder.of('/to').length).toBeGreaterThan(0);
    await eventually('the bad turn is taken', 20_000, async () => recorder.of('/to-bad').length > 1);
    expect(containerStatus(await pods.read('steady'), 'badturn').ready).toBe(false);
    expect(containerStatus(status, 'badturn').restartCount).toBe(0);
  });

  test('tcpSocket: a port that is open, and one that is not', async () => {
    await ready('steady', 'tcp');
    const { lastState } = await restarted('failing', 'notcp');
    expect(lastState?.terminated).toBeDefined();
    expect(containerStatus(await pods.read('steady'), 'notcp').ready).toBe(false);
  });

  test('exec: its exit code, and its time limit', async () => {
    await ready('steady', 'exec');
    await restarted('failing', 'execslow');
    expect(containerStatus(await pods.read('steady'), 'noexec').ready).toBe(false);
  });

  test('grpc: SERVING is health, NOT_SERVING and an unknown service are not; one that fades is restarted', async () => {
    await ready('grpc', 'server');
    const { lastState } = await restarted('grpc', 'fades');
    expect(lastState?.terminated).toMatchObject({ exitCode: 0 });
    const pod = await pods.read('grpc');
    expect(['bad', 'unknown'].map((n) => containerStatus(pod, n).ready)).toEqual([false, false]);
    expect(containerStatus(pod, 'server')).toMatchObject({ ready: true, restartCount: 0 });
    expect(await pods.events('grpc')).toMatch(
      /Readiness probe failed: service unhealthy \(responded with "NOT_SERVING"\)/,
    );
  });

  test('liveness: a page that is gone restarts the container, and says why', async () => {
    const status = await restarted('fades', 'main');
    expect(status.lastState?.terminated).toMatchObject({ exitCode: 0 });
    expect(await pods.events('fades')).toMatch(/Liveness probe failed: HTTP probe failed with statuscode: 404/);
  });

  test('timings: the first after initialDelaySeconds, then every periodSeconds, failureThreshold times; then it is restarted', async () => {
    const { lastState, restartCount } = await restarted('failing', 'dying');
    expect(restartCount).toBe(1);
    const began = ms(lastState?.terminated?.startedAt);
    const [a = 0, b = 0, c = 0] = recorder.of('/dying').map((r) => r.atMs);
    expect(ms(lastState?.terminated?.finishedAt)).toBeGreaterThanOrEqual(Math.floor(c / 1000) * 1000);
    /* Of the start, which is told in whole seconds: one that was late does not make the next one late. */
    for (const [i, at] of [a, b, c].entries()) {
      expect(at - began).toBeGreaterThanOrEqual(3_000 + i * 2_000);
      expect(at - began).toBeLessThan(4_000 + i * 2_000 + SLACK_MS);
    }
    const late = recorder.of('/late')[0]?.atMs ?? 0;
    const steady = await ready('steady', 'late');
    expect(late - ms(containerStatus(steady, 'late').state?.running?.startedAt)).toBeGreaterThanOrEqual(4_000);
  });

  test('timeoutSeconds: no answer in it is a failure, a late one within it is not', async () => {
    await restarted('failing', 'silent');
    await eventually('the slow one is asked again', 20_000, async () => recorder.of('/slow').length > 2);
    expect(containerStatus(await pods.read('steady'), 'slow').restartCount).toBe(0);
  });

  test('startup: nothing else is asked before it has succeeded; one that never does ends the container', async () => {
    const waiting = await pods.until('starting', 'asked', () => recorder.of('/start').length > 3);
    expect(containerStatus(waiting, 'main')).toMatchObject({ started: false, ready: false, restartCount: 0 });
    expect(recorder.of('/start-live').length + recorder.of('/start-ready').length).toBe(0);
    recorder.answer('/start', { status: 200 });
    const started = await pods.ready('starting');
    expect(containerStatus(started, 'main')).toMatchObject({ started: true, restartCount: 0 });
    const asked = recorder.of('/start').length;
    await eventually('liveness', 20_000, async () => recorder.of('/start-live').length > 1);
    expect(recorder.of('/start')).toHaveLength(asked);
    await restarted('never', 'main');
    expect(recorder.of('/never').length).toBeGreaterThanOrEqual(2);
    expect(await pods.events('never')).toMatch(/Container main failed startup probe, will be restarted/);
  });

  test('terminationGracePeriodSeconds of a probe stands for the pod’s', async () => {
    for (const name of ['grace', 'startgrace']) {
      const { lastState } = await restarted('failing', name);
      expect(lastState?.terminated?.exitCode).toBe(137);
      const took = ms(lastState?.terminated?.finishedAt) - (recorder.of(`/${name}`)[0]?.atMs ?? 0);
      expect(took).toBeGreaterThan(1_000);
      expect(took).toBeLessThan(2_000 + 3 * SLACK_MS);
    }
  });

  test('readiness: three in a row make a pod unready, three make it ready again; one that fails never ends it', async () => {
    const times = (): number[] => recorder.of('/turning').map((r) => r.atMs);
    const since = (p: DeepReadonly<Pod>): number => ms(condition(p, 'Ready')?.lastTransitionTime);
    const second = (t: number | undefined): number => Math.floor((t ?? 0) / 1000) * 1000;
    const first = await pods.ready('turning');
    expect(since(first)).toBeGreaterThanOrEqual(second(times()[2]));
    const before = times().length;
    recorder.answer('/turning', { status: 503 });
    const unready = await pods.until('turning', 'unready', (p) => condition(p, 'Ready')?.status === 'False');
    /* A request may have been answered in between. */
    expect(times().length - before).toBeGreaterThanOrEqual(3);
    expect(since(unready)).toBeGreaterThanOrEqual(second(times()[before + 2]));
    expect(condition(unready, 'Ready')).toMatchObject({ reason: 'ContainersNotReady' });
    const failed = times().length;
    recorder.answer('/turning', { status: 200 });
    expect(since(await pods.ready('turning'))).toBeGreaterThanOrEqual(second(times()[failed + 2]));
    const never = await pods.read('unready');
    expect(recorder.of('/unready').length).toBeGreaterThan(3);
    expect(containerStatus(never, 'main')).toMatchObject({ ready: false, started: true, restartCount: 0 });
    expect(condition(never, 'Ready')).toMatchObject({ status: 'False' });
  });

  test('without a control plane containers are probed, and end when they fail; none of the others ever did', async () => {
    const before = await pods.read('steady');
    const { containerStatuses = [] } = before.status ?? {};
    expect(containerStatuses.filter((s) => s.restartCount > 0).map((s) => s.name)).toEqual([]);
    {
      using _away = await keepAway(cluster, 'server');
      const seen = recorder.of('/plain?a=b').length;
      await eventually('readiness', 20_000, async () => recorder.of('/plain?a=b').length > seen + 2);
      /* Once: the next attempt is to live. */
      recorder.answer('/away', { status: 500, times: 1 });
      await eventually('its next attempt', 20_000, async () =>
        (await liveContainers(cluster)).some((c) => c.container === 'away' && c.attempt > 0),
      );
    }
    const back = await eventually('its status', 40_000, async () => {
      const status = await pods.status('steady', 'away').catch(() => undefined);
      return status !== undefined && status.restartCount > 0 ? status : undefined;
    });
    expect(back.lastState?.terminated?.exitCode).toBe(7);
  });
});
