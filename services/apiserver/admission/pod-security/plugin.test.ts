import { describe, expect, test } from 'vitest';
import { type Deployment, Kinds, type Namespace, type Pod } from '#lib/api';
import { messageOf } from '#lib/base';
import { type Client, InProcessClient } from '#lib/client';
import { testContext as c, startTestServer, type TestServer } from '../../testing/server.ts';

const P = 'pod-security.kubernetes.io/';
const NS = 'default';
const PRIVILEGED: Partial<Pod['spec']> = {
  containers: [{ name: 'a', image: 'x', securityContext: { privileged: true } }],
};
const TEXT = 'privileged (container "a" must not set securityContext.privileged=true)';

interface Caller {
  readonly client: Client;
  /** Since the last call. */
  warnings(): string[];
}

/** A client that keeps the warnings it gets. */
function caller(server: TestServer): Caller {
  const seen: string[] = [];
  const user = { name: 'admin', groups: ['system:masters', 'system:authenticated'] };
  const handler: typeof server.api.handler = {
    handle: (request, ctx) => server.api.handler.handle({ ...request, warn: (t) => seen.push(t) }, ctx),
    watch: (request, ctx) => server.api.handler.watch(request, ctx),
  };
  return { client: new InProcessClient({ handler, user }), warnings: () => seen.splice(0) };
}

async function label(client: Client, labels: Record<string, string>): Promise<unknown> {
  const body = { metadata: { labels } };
  return await client.patch<Namespace>(Kinds.namespaces, { namespace: '', name: NS }, { type: 'merge', body }, c);
}

async function pod(client: Client, name: string, spec: Partial<Pod['spec']> = {}): Promise<unknown> {
  const containers = [{ name: 'a', image: 'x' }];
  return await client.create<Pod>(Kinds.pods, { metadata: { name, namespace: NS }, spec: { containers, ...spec } }, c);
}

async function refusalOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
  } catch (e) {
    return messageOf(e);
  }
  throw new Error('was not refused');
}

describe('pod security admission (pod-security-admission/admission)', () => {
  test('pods that violate the enforced level are refused; a later image is judged again, a label is not', async () => {
    await using server = await startTestServer();
    const { client } = caller(server);
    await pod(client, 'old', PRIVILEGED);
    await label(client, { [`${P}enforce`]: 'baseline' });
    expect(await refusalOf(pod(client, 'new', PRIVILEGED))).toBe(
      `pods "new" is forbidden: violates PodSecurity "baseline:latest": ${TEXT}`,
    );
    await pod(client, 'plain');
    const key = { namespace: NS, name: 'old' };
    const labels = { metadata: { labels: { a: 'b' } } };
    await client.patch<Pod>(Kinds.pods, key, { type: 'merge', body: labels }, c);
    const image = [{ op: 'replace', path: '/spec/containers/0/image', value: 'y' }];
    expect(await refusalOf(client.patch<Pod>(Kinds.pods, key, { type: 'json', body: image }, c))).toBe(
      `pods "old" is forbidden: violates PodSecurity "baseline:latest": ${TEXT}`,
    );
  });

  test('what makes pods is warned about, not refused', async () => {
    await using server = await startTestServer();
    const { client, warnings } = caller(server);
    await label(client, { [`${P}enforce`]: 'baseline', [`${P}enforce-version`]: 'v1.30' });
    warnings();
    const labels = { app: 'x' };
    const template = {
      metadata: { name: 't', labels },
      spec: { ...PRIVILEGED, containers: PRIVILEGED.containers ?? [] },
    };
    const spec = { selector: { matchLabels: labels }, template };
    await client.create<Deployment>(Kinds.deployments, { metadata: { name: 'd', namespace: NS }, spec }, c);
    expect(warnings()).toEqual([`would violate PodSecurity "baseline:v1.30": ${TEXT}`]);
  });

  test('warn without enforce lets pods pass with a warning', async () => {
    await using server = await startTestServer();
    const { client, warnings } = caller(server);
    await label(client, { [`${P}warn`]: 'baseline' });
    await pod(client, 'a', PRIVILEGED);
    expect(warnings()).toEqual([`would violate PodSecurity "baseline:latest": ${TEXT}`]);
    await pod(client, 'b');
    expect(warnings()).toEqual([]);
  });

  test('a stricter level warns about the pods that are there, a looser one does not', async () => {
    await using server = await startTestServer();
    const { client, warnings } = caller(server);
    await pod(client, 'b', PRIVILEGED);
    await pod(client, 'a', PRIVILEGED);
    await pod(client, 'c', { hostNetwork: true });
    await label(client, { [`${P}enforce`]: 'baseline' });
    expect(warnings()).toEqual([
      'existing pods in namespace "default" violate the new PodSecurity enforce level "baseline:latest"',
      'a (and 1 other pod): privileged',
      expect.stringMatching(/^c: host namespaces/),
    ]);
    await label(client, { [`${P}enforce`]: 'privileged' });
    expect(warnings()).toEqual([]);
  });

  test('labels that cannot be read are refused, on create and on update', async () => {
    await using server = await startTestServer();
    const { client } = caller(server);
    const labels = { [`${P}enforce`]: 'strict' };
    const why = `Invalid value: "strict": must be one of privileged, baseline, restricted`;
    expect(
      await refusalOf(client.create<Namespace>(Kinds.namespaces, { metadata: { name: 'n', labels }, spec: {} }, c)),
    ).toBe(`Namespace "n" is invalid: metadata.labels[${P}enforce]: ${why}`);
    expect(await refusalOf(label(client, labels))).toContain(why);
    expect(await refusalOf(label(client, { [`${P}warn-version`]: '1.30' }))).toContain('must be "latest" or "v1.x"');
  });
});
