/**
 * Stock kubectl against a whole cluster: workloads over time (rollouts, `set`, run, expose, waits, cascades) and debugging.
 * Each effect is read back with a second client, each command has a negative case.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Kinds } from '#lib/api';
import { background } from '../harness/background.ts';
import { eventually, kubectlIsNewEnough, startCluster, type TestCluster } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';
import { stockKubectl } from './stock-kubectl.ts';
import {
  applyOk,
  deployment,
  getDeployment,
  getPod,
  isReady,
  orGone,
  podInPhase,
  podsOf,
  pushHello,
  readyPods,
  scriptPod,
} from './workload.ts';

const NS = 'work';
/** Ends by itself: `kubectl debug` sets no stdinOnce, so the end of the input never comes. */
const READ_ONE = 'read line; echo "$line"; exit 3';
const UNSCHEDULED = { schedulerName: 'nobody' };

describe.skipIf(!(await kubectlIsNewEnough()))('kubectl >= 1.30 on a cluster: workloads', () => {
  let t: TestCluster;
  tellWhenFailed(() => t);
  let image = '';
  const { k, ok, refused, read } = stockKubectl(() => t, NS);
  const owners = async (name: string) => (await read(Kinds.jobs, name)).metadata.ownerReferences ?? [];

  beforeAll(async () => {
    t = await startCluster({ name: 'wor' });
    image = await pushHello(t);
    await ok('create', 'namespace', NS);
    await applyOk(t, deployment({ name: 'roll', namespace: NS, image, replicas: 1 }));
    await readyPods(t, NS, 'app=roll', 1);
  });
  afterAll(() => t?.stop());

  test('rollout pause, resume, undo --to-revision, status --revision, history with causes', async () => {
    const revisions = async () => (await ok('rollout', 'history', 'deployment/roll')).match(/^\d+/gm);
    const env = async () => (await getDeployment(t, NS, 'roll')).spec.template.spec?.containers[0]?.env;
    await ok('rollout', 'pause', 'deployment/roll');
    expect((await getDeployment(t, NS, 'roll')).spec.paused).toBe(true);
    await ok('set', 'env', 'deployment/roll', 'STEP=2');
    await ok('annotate', 'deployment/roll', 'kubernetes.io/change-cause=step two');
    await refused(/already paused/, 'rollout', 'pause', 'deployment/roll');
    await refused(/cannot rollback a paused deployment/, 'rollout', 'undo', 'deployment/roll', '--to-revision=1');
    await refused(/can't restart paused deployment/, 'rollout', 'restart', 'deployment/roll');
    await eventually('the paused change is seen', 10_000, async () => {
      const { metadata, status } = await getDeployment(t, NS, 'roll');
      return status?.observedGeneration === metadata.generation;
    });
    expect(await revisions()).toEqual(['1']);
    await ok('rollout', 'resume', 'deployment/roll');
    await ok('rollout', 'status', 'deployment/roll', '--timeout=30s');
    expect(await revisions()).toEqual(['1', '2']);
    expect(await ok('rollout', 'history', 'deployment/roll')).toMatch(/^2\s+step two$/m);
    expect(await ok('rollout', 'history', 'deployment/roll', '--revision=2')).toMatch(/STEP:\s+2/);
    await refused(/is not paused/, 'rollout', 'resume', 'deployment/roll');
    await ok('set', 'env', 'deployment/roll', 'STEP=3');
    await ok('rollout', 'status', 'deployment/roll', '--timeout=30s');
    await ok('rollout', 'undo', 'deployment/roll', '--to-revision=1');
    expect(await ok('rollout', 'status', 'deployment/roll', '--revision=4', '--timeout=30s')).toContain('successfully');
    expect(await env()).toBeUndefined();
    expect(await revisions()).toEqual(['2', '3', '4']);
    const late = ['rollout', 'status', 'deployment/roll', '--revision=2'];
    await refused(/desired revision \(2\) is different from the running revision \(4\)/, ...late);
    await refused(/unable to find specified revision 1/, 'rollout', 'undo', 'deployment/roll', '--to-revision=1');
    for (const verb of ['pause', 'resume', 'undo', 'restart'])
      await refused(/deployments.apps "nope" not found/, 'rollout', verb, 'deployment/nope');
    await refused(/pausing is not supported/, 'rollout', 'pause', 'service/kubernetes', '-n', 'default');
  });

  test('set env, resources, serviceaccount, selector: what is set is there, nonsense is refused', async () => {
    await ok('create', 'deployment', 'idle', `--image=${image}`, '--replicas=0');
    const container = async () => (await getDeployment(t, NS, 'idle')).spec.template.spec?.containers[0];
    await ok('create', 'configmap', 'conf', '--from-literal=mode=fast');
    await ok('set', 'env', 'deployment/idle', 'A=1', 'B=2');
    await ok('set', 'env', 'deployment/idle', '--from=configmap/conf', '--prefix=X_');
    await ok('set', 'env', 'deployment/idle', 'A-');
    const valueFrom = { configMapKeyRef: { name: 'conf', key: 'mode' } };
    expect((await container())?.env).toEqual([
      { name: 'B', value: '2' },
      { name: 'X_MODE', valueFrom },
    ]);
    expect(await ok('set', 'env', 'deployment/idle', '--list', '--resolve')).toMatch(/B=2\nX_MODE=fast/);
    await refused(/deployments.apps "nope" not found/, 'set', 'env', 'deployment/nope', 'A=1');
    await refused(/configmaps "nope" not found/, 'set', 'env', 'deployment/idle', '--from=configmap/nope');
    await ok('set', 'resources', 'deployment/idle', '--limits=cpu=200m,memory=64Mi', '--requests=cpu=100m');
    const resources = { limits: { cpu: '200m', memory: '64Mi' }, requests: { cpu: '100m' } };
    expect((await container())?.resources).toEqual(resources);
    const more = ['set', 'resources', 'deployment/idle', '--requests=cpu=2'];
    await refused(/must be less than or equal to cpu limit/, ...more);
    await refused(
      /unable to parse quantity|quantities must match/,
      'set',
      'resources',
      'deployment/idle',
      '--limits=cpu=x',
    );
    expect((await container())?.resources).toEqual(resources);
    await ok('create', 'serviceaccount', 'robot');
    await ok('set', 'serviceaccount', 'deployment/idle', 'robot');
    expect((await getDeployment(t, NS, 'idle')).spec.template.spec?.serviceAccountName).toBe('robot');
    await refused(/deployments.apps "nope" not found/, 'set', 'serviceaccount', 'deployment/nope', 'robot');
    await refused(/Invalid value: "Not_OK"/, 'set', 'serviceaccount', 'deployment/idle', 'Not_OK');
    await ok('create', 'service', 'clusterip', 'idle', '--tcp=80');
    await ok('set', 'selector', 'service/idle', 'app=other,tier=back');
    expect((await read(Kinds.services, 'idle')).spec?.selector).toEqual({ app: 'other', tier: 'back' });
    await refused(/services "nope" not found/, 'set', 'selector', 'service/nope', 'a=b');
    await refused(/the object has been modified/, 'set', 'selector', 'service/idle', 'a=b', '--resource-version=1');
  });

  test('run and expose: the pod answers behind its service; what is there already is an error', async () => {
    await ok('run', 'solo', `--image=${image}`, '--port=8080', '--labels=app=solo,x=1', '--env=A=1', '--expose');
    const pod = await getPod(t, NS, 'solo');
    expect(pod.metadata.labels).toEqual({ app: 'solo', x: '1' });
    expect(pod.spec.containers[0]).toMatchObject({
      env: [{ name: 'A', value: '1' }],
      ports: [{ containerPort: 8080 }],
    });
    expect((await read(Kinds.services, 'solo')).spec?.selector).toEqual({ app: 'solo', x: '1' });
    await ok('wait', '--for=condition=Ready', 'pod/solo', '--timeout=30s');
    await ok('expose', 'pod', 'solo', '--name=named', '--port=80', '--target-port=8080');
    expect((await read(Kinds.services, 'named')).spec?.ports).toMatchObject([{ port: 80, targetPort: 8080 }]);
    await ok('expose', 'deployment', 'roll', '--port=80', '--target-port=8080', '--type=NodePort');
    expect((await read(Kinds.services, 'roll')).spec).toMatchObject({ type: 'NodePort', selector: { app: 'roll' } });
    await eventually('the pod behind its service', 10_000, async () => {
      const r = await k('get', '--raw', `/api/v1/namespaces/${NS}/services/named:80/proxy/`);
      return r.code === 0 || /could not find the requested resource/.test(r.stderr);
    });
    await refused(/pods "solo" already exists/, 'run', 'solo', `--image=${image}`);
    await refused(/Invalid value: "Bad_Name"|Invalid pod name/, 'run', 'Bad_Name', `--image=${image}`);
    await refused(/services "named" already exists/, 'expose', 'pod', 'solo', '--name=named', '--port=80');
    await refused(/couldn't find port/, 'expose', 'deployment', 'roll', '--name=portless');
    await refused(/deployments.apps "nope" not found/, 'expose', 'deployment', 'nope', '--port=80');
    await ok('delete', 'pod', 'solo', '--wait=false');
  });

  test('wait: for a creation, a deletion, a false condition, any value; each gives up in time', async () => {
    await using later = background(
      'kubectl',
      ['-n', NS, 'wait', '--for=create', 'configmap/later', '--timeout=30s'],
      t.env,
    );
    await using empty = background(
      'kubectl',
      ['-n', NS, 'wait', '--for=jsonpath={.data.key}', 'configmap/filled', '--timeout=30s'],
      t.env,
    );
    await ok('create', 'configmap', 'filled');
    await ok('create', 'configmap', 'later');
    expect(await later.closed).toBe(0);
    await ok('patch', 'configmap', 'filled', '-p', '{"data":{"key":"value"}}');
    await empty.closed;
    await ok('wait', '--for=jsonpath={.data.key}', 'configmap/filled', '--timeout=10s');
    await using deletion = background(
      'kubectl',
      ['-n', NS, 'wait', '--for=delete', 'configmap/later', '--timeout=30s'],
      t.env,
    );
    await ok('delete', 'configmap', 'later');
    expect(await deletion.closed).toBe(0);
    await ok('wait', '--for=condition=Available', 'deployments', '--all', '--timeout=20s');
    const never = [
      ['--for=create', 'configmap/never'],
      ['--for=delete', 'configmap/filled'],
      ['--for=condition=Available=false', 'deployment/roll'],
      ['--for=jsonpath={.data.key}=other', 'configmap/filled'],
    ];
    await Promise.all(never.map((args) => refused(/timed out/, 'wait', ...args, '--timeout=1s')));
    await refused(/unrecognized condition/, 'wait', '--for=nonsense', 'configmap/filled');
  });

  test('delete --cascade of deployments and replica sets: background, foreground, orphan', async () => {
    const names = ['bg', 'fg', 'or'];
    const idle = (name: string) =>
      deployment({ name, namespace: NS, image, replicas: 1, podSpec: { ...UNSCHEDULED, restartPolicy: 'Always' } });
    await applyOk(t, ...names.map(idle));
    await eventually('a pod of each', 20_000, async () => (await podsOf(t, NS, 'app in (bg,fg,or)')).length === 3);
    const sets = async (name: string) =>
      (await t.client.list(Kinds.replicasets, { namespace: NS, labelSelector: `app=${name}` }, t.ctx)).items;
    const nothing = (name: string) =>
      eventually(`nothing of ${name}`, 20_000, async () => {
        return (await sets(name)).length === 0 && (await podsOf(t, NS, `app=${name}`)).length === 0;
      });
    await ok('delete', 'deployment', 'bg', '--cascade=background');
    expect(await orGone(getDeployment(t, NS, 'bg'))).toBeUndefined();
    await nothing('bg');
    await ok('delete', 'deployment', 'fg', '--cascade=foreground', '--timeout=30s');
    expect([await sets('fg'), await podsOf(t, NS, 'app=fg')]).toEqual([[], []]);
    await ok('delete', 'deployment', 'or', '--cascade=orphan');
    const [set] = await sets('or');
    expect(set?.metadata.ownerReferences ?? []).toEqual([]);
    await ok('delete', 'replicaset', set?.metadata.name ?? '', '--cascade=orphan');
    const [pod] = await podsOf(t, NS, 'app=or');
    expect([pod?.metadata.ownerReferences ?? [], pod?.metadata.deletionTimestamp]).toEqual([[], undefined]);
    const alone = { apiVersion: 'apps/v1', kind: 'ReplicaSet', metadata: { name: 'alone', namespace: NS } };
    const { spec } = idle('alone') as { spec: { template: object; selector: object } };
    await applyOk(t, { ...alone, spec: { replicas: 2, selector: spec.selector, template: spec.template } });
    await eventually('its pods', 20_000, async () => (await podsOf(t, NS, 'app=alone')).length === 2);
    await ok('delete', 'replicaset', 'alone', '--cascade=foreground', '--timeout=30s');
    expect(await podsOf(t, NS, 'app=alone')).toEqual([]);
    await refused(/invalid cascade value \(sideways\)/, 'delete', 'deployment', 'roll', '--cascade=sideways');
    await refused(/"nope" not found/, 'delete', 'deployment', 'nope', '--cascade=foreground');
    expect(isReady((await readyPods(t, NS, 'app=roll', 1))[0] ?? (await getPod(t, NS, 'none')))).toBe(true);
  });

  test('delete --cascade of cron jobs and jobs: background, foreground, orphan', async () => {
    for (const name of ['bg', 'fg', 'or']) {
      await ok('create', 'cronjob', name, '--image=none.invalid/x', '--schedule=0 3 1 1 *');
      await ok('create', 'job', `${name}-job`, `--from=cronjob/${name}`);
      const { uid = '' } = (await read(Kinds.jobs, `${name}-job`)).metadata;
      const owner = { apiVersion: 'batch/v1', kind: 'Job', name: `${name}-job`, uid, controller: true };
      const pod = scriptPod({ name: `${name}-pod`, namespace: NS, image, labels: { of: 'jobs' }, spec: UNSCHEDULED });
      const metadata = { ...(pod['metadata'] as object), ownerReferences: [{ ...owner, blockOwnerDeletion: true }] };
      await applyOk(t, { ...pod, metadata });
    }
    const podNames = async () => (await podsOf(t, NS, 'of=jobs')).map((p) => p.metadata.name).toSorted();
    await ok('delete', 'cronjob', 'bg');
    expect(await orGone(read(Kinds.cronjobs, 'bg'))).toBeUndefined();
    await ok('wait', '--for=delete', 'job/bg-job', 'pod/bg-pod', '--timeout=20s');
    await ok('delete', 'cronjob', 'fg', '--cascade=foreground', '--timeout=30s');
    expect(await orGone(read(Kinds.jobs, 'fg-job'))).toBeUndefined();
    await ok('delete', 'cronjob', 'or', '--cascade=orphan');
    expect(await owners('or-job')).toEqual([]);
    await ok('delete', 'job', 'or-job', '--cascade=orphan');
    await eventually('only the orphan', 20_000, async () => (await podNames()).join() === 'or-pod');
    expect((await getPod(t, NS, 'or-pod')).metadata.ownerReferences ?? []).toEqual([]);
    await refused(/jobs.batch "or-job" not found/, 'delete', 'job', 'or-job', '--cascade=orphan');
    await refused(/cronjobs.batch "nope" not found/, 'delete', 'cronjob', 'nope', '--cascade=background');
  });

  test('debug: an ephemeral container in the namespaces of its target; it ends for good', async () => {
    const [pod] = await readyPods(t, NS, 'app=roll', 1);
    const name = pod?.metadata.name ?? '';
    const entry = async (container: string) =>
      (await getPod(t, NS, name)).status?.ephemeralContainerStatuses?.find((s) => s.name === container);
    await ok('debug', name, `--image=${image}`, '--target=web', '-c', 'dbg', '--', 'sleep', '1000');
    const running = await eventually('the debugger', 20_000, async () => {
      const seen = await entry('dbg');
      return seen?.state?.running === undefined ? undefined : seen;
    });
    expect(running).toMatchObject({ ready: false, restartCount: 0 });
    const seen = await ok('exec', name, '-c', 'dbg', '--', 'ps');
    expect(seen).toMatch(/ 1 .*serve/);
    expect(seen).toMatch(/sleep 1000/);
    /* The pod's network, where the image's server has no page, and the target's files. */
    expect((await k('exec', name, '-c', 'dbg', '--', 'wget', '-qO-', 'http://127.0.0.1:8080/')).stderr).toMatch(/404/);
    await ok('exec', name, '-c', 'web', '--', 'touch', '/tmp/of-the-target');
    expect(await ok('exec', name, '-c', 'dbg', '--', 'ls', '/proc/1/root/tmp')).toContain('of-the-target');
    const args = ['-n', NS, 'debug', '-i', name, `--image=${image}`, '-c', 'talk', '--', 'sh', '-c', READ_ONE];
    await using talk = background('kubectl', args, t.env);
    talk.write('through debug\n');
    await talk.until(/through debug\n/);
    await talk.closed;
    await eventually('its end', 10_000, async () => (await entry('talk'))?.state?.terminated?.exitCode === 3);
    expect(await ok('logs', name, '-c', 'talk')).toBe('through debug\n');
    expect(isReady(await getPod(t, NS, name))).toBe(true);
    await refused(/pods "nope" not found/, 'debug', 'nope', `--image=${image}`);
    await refused(/targetContainerName: Not found: "nope"/, 'debug', name, `--image=${image}`, '--target=nope');
    await refused(/must specify --image|you must specify/, 'debug', name);
    await ok('debug', name, `--image=${t.registry}/berth/missing:1`, '-c', 'unpulled');
    await eventually('its pull fails', 20_000, async () =>
      /ErrImagePull|ImagePullBackOff/.test((await entry('unpulled'))?.state?.waiting?.reason ?? ''),
    );
    await refused(/container unpulled is not running|is not running/, 'exec', name, '-c', 'unpulled', '--', 'true');
    expect(isReady(await getPod(t, NS, name))).toBe(true);
    await ok('delete', 'pod', name, '--timeout=20s');
  });

  test('debug --copy-to: a copy with another image or command; --replace takes the original away', async () => {
    await applyOk(t, scriptPod({ name: 'sick', namespace: NS, image, script: 'exit 1', labels: { app: 'sick' } }));
    await podInPhase(t, NS, 'sick', 'Failed');
    const copy = ['debug', 'sick', '--copy-to=copy', '--share-processes=false', '--container=main'];
    await ok(...copy, '--', 'sleep', '1000');
    const made = await podInPhase(t, NS, 'copy', 'Running');
    expect(made.spec.containers).toMatchObject([{ name: 'main', image, command: ['sleep', '1000'] }]);
    expect(made.metadata.labels ?? {}).toEqual({});
    await refused(/pods "copy" already exists/, ...copy, '--', 'true');
    await ok('debug', 'sick', '--copy-to=fixed', '--replace', '--share-processes=false', `--set-image=*=${image}`);
    expect(await orGone(getPod(t, NS, 'sick'))).toBeUndefined();
    expect((await getPod(t, NS, 'fixed')).spec.containers).toMatchObject([{ name: 'main', image }]);
    await refused(/pods "sick" not found/, 'debug', 'sick', '--copy-to=again', `--image=${image}`);
    await ok('delete', 'pod', 'copy', 'fixed', '--wait=false');
  });

  test('debug node: a pod in the namespaces of the host, with its root at /host', async () => {
    const node = t.layout.nodes[0]?.name ?? '';
    await ok('debug', `node/${node}`, `--image=${image}`, '--', 'sh', '-c', 'ls /host; hostname; ls /host/proc/1/comm');
    const pod = await eventually('its pod', 10_000, async () =>
      (await podsOf(t, NS)).find((p) => p.metadata.name.startsWith('node-debugger-')),
    );
    expect(pod.spec).toMatchObject({ nodeName: node, hostPID: true, hostNetwork: true, hostIPC: true });
    const name = pod.metadata.name;
    await podInPhase(t, NS, name, 'Succeeded');
    const log = await ok('logs', name);
    for (const line of ['etc', 'proc', '/host/proc/1/comm', node]) expect(log.split('\n')).toContain(line);
    await refused(/nodes "nope" not found/, 'debug', 'node/nope', `--image=${image}`);
    await ok('delete', 'pod', name, '--wait=false');
  });
});
