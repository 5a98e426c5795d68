/**
 * Private images (KEP-2535): an image that is on the node is for who has shown that he may have it. Others ask the registry, which
 * refuses them; under `Never` they do not even learn that it is there.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { applyOk, getPod, podInPhase, pushHello, scriptPod } from '../e2e/workload.ts';
import { signal, tended } from '../faults/host.ts';
import { eventually, startCluster, type TestCluster } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';
import { type PrivateRegistry, privateRegistry } from './private-registry.ts';

const NS = 'default';
const PRESENT = (image: string): string =>
  `Container image "${image}" already present on machine and can be accessed by the pod`;

let t: TestCluster;
let registry: PrivateRegistry;
let image: string;
tellWhenFailed(() => t);

beforeAll(async () => {
  t = await startCluster({ name: 'priv' });
  const open = await pushHello(t);
  registry = await privateRegistry(t.registry, { alice: 'wonder', bob: 'builder' });
  image = open.replace(t.registry, registry.host);
  for (const [name, user, password] of [
    ['alice', 'alice', 'wonder'],
    ['same', 'alice', 'wonder'],
    ['bob', 'bob', 'builder'],
    ['wrong', 'alice', 'guess'],
  ] as const) {
    const made = await t.kubectl(
      ...['create', 'secret', 'docker-registry', name, `--docker-server=${registry.host}`],
      ...[`--docker-username=${user}`, `--docker-password=${password}`],
    );
    expect(made).toMatchObject({ code: 0 });
  }
});
afterAll(async () => {
  await t?.stop();
  await registry?.[Symbol.asyncDispose]();
});

function pod(name: string, secret: string | undefined, policy = 'IfNotPresent'): object {
  const spec = {
    imagePullSecrets: secret === undefined ? [] : [{ name: secret }],
    containers: [{ name: 'main', image, imagePullPolicy: policy, command: ['sleep', '3600'] }],
  };
  return scriptPod({ name, namespace: NS, image, spec });
}

async function waitingOf(name: string): Promise<{ reason?: string | undefined; message?: string | undefined }> {
  const { status } = await getPod(t, NS, name);
  return status?.containerStatuses?.[0]?.state?.waiting ?? {};
}

async function eventsOf(name: string): Promise<string> {
  const messages = 'jsonpath={range .items[*]}{.message}{"\\n"}{end}';
  return (await t.kubectl('get', 'events', '--field-selector', `involvedObject.name=${name}`, '-o', messages)).stdout;
}

test('private images: who has none or a wrong secret is refused; who has the same, another or his own one runs', async () => {
  await applyOk(t, pod('first', 'alice'));
  await podInPhase(t, NS, 'first', 'Running');
  const before = registry.given.length;
  await applyOk(t, pod('again', 'alice'), pod('says-the-same', 'same'));
  for (const name of ['again', 'says-the-same']) {
    await podInPhase(t, NS, name, 'Running');
    await eventually('its event', 10_000, async () => (await eventsOf(name)).includes(PRESENT(image)));
  }
  expect(registry.given.length).toBe(before);
  await applyOk(t, pod('none', undefined), pod('wrong', 'wrong'), pod('bob', 'bob'), pod('never', undefined, 'Never'));
  await podInPhase(t, NS, 'bob', 'Running');
  expect(registry.given.slice(before)).toContain('bob');
  for (const name of ['none', 'wrong'])
    await eventually(`${name} is refused`, 30_000, async () =>
      ['ErrImagePull', 'ImagePullBackOff'].includes((await waitingOf(name)).reason ?? ''),
    );
  const never = await eventually('never is refused', 30_000, async () => {
    const waiting = await waitingOf('never');
    return waiting.reason === 'ErrImageNeverPull' && waiting;
  });
  expect(never.message).toBe(`Container image "${image}" is not present with pull policy of Never`);
  expect(await eventsOf('none')).toMatch(/Failed to pull image .*(401|authentication required|[Uu]nauthorized)/s);
});

test('private images: the next agent knows it too, without the registry', async () => {
  const agent = `agent-${t.layout.nodes[0]?.name ?? ''}`;
  const killed = await signal(t, agent, 'SIGKILL');
  await eventually('the agent runs again', 15_000, async () => (await tended(t, agent)).pid !== killed);
  const before = registry.given.length;
  await applyOk(t, pod('after', 'same'), pod('after-none', undefined));
  await podInPhase(t, NS, 'after', 'Running');
  expect(registry.given.length).toBe(before);
  await eventually('is refused', 30_000, async () =>
    ['ErrImagePull', 'ImagePullBackOff'].includes((await waitingOf('after-none')).reason ?? ''),
  );
});
