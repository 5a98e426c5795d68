import { request } from 'node:https';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  type ConfigMap,
  type CustomResourceDefinition,
  type Deployment,
  type KindRef,
  Kinds,
  type KubeObject,
  kindByResource,
} from '#lib/api';
import { testContext as c, startTestServer, type TestServer } from '../../testing/server.ts';
import { patchOf, type SeenReview, startWebhookServer, type WebhookServer } from '../../testing/webhook-server.ts';

let hook: WebhookServer;
let server: TestServer;
beforeEach(async () => {
  hook = await startWebhookServer(() => ({ allowed: true }));
  server = await startTestServer({ nodeStreams: hook.streams });
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
  await hook[Symbol.asyncDispose]();
});

const RULE = { operations: ['*'], apiGroups: [''], apiVersions: ['v1'], resources: ['configmaps'] };

interface Spec {
  [field: string]: unknown;
}

function webhook(spec: Spec): object {
  return {
    name: 'one.example.com',
    clientConfig: { url: hook.url, caBundle: hook.caBundle },
    rules: [RULE],
    sideEffects: 'None',
    admissionReviewVersions: ['v1'],
    ...spec,
  };
}

async function configure(type: 'mutating' | 'validating', name: string, ...specs: Spec[]): Promise<void> {
  const kind = type === 'mutating' ? Kinds.mutatingwebhookconfigurations : Kinds.validatingwebhookconfigurations;
  const object = { metadata: { name }, webhooks: specs.map(webhook) };
  await server.client.create(kind as KindRef, object as unknown as KubeObject, c);
  await settled();
}

/** Until the watch has brought the configuration: a read that waits for it. */
async function settled(): Promise<void> {
  await server.client.list(Kinds.configmaps, {}, c);
}

function configMap(
  name: string,
  o: { data?: Record<string, string>; labels?: Record<string, string> } = {},
): ConfigMap {
  const { labels, data } = o;
  return {
    metadata: { name, namespace: 'default', ...(labels ? { labels } : {}) },
    ...(data ? { data } : {}),
  } as ConfigMap;
}

const create = (name: string, o: Parameters<typeof configMap>[1] = {}, dryRun = false) =>
  server.client.create<ConfigMap>(Kinds.configmaps, configMap(name, o), c, { dryRun });
const key = (name: string) => ({ namespace: 'default', name });
const operations = () => hook.seen.map((s) => s.review.request.operation);

const widgetsOf = (version: string): KindRef => ({
  group: 'example.com',
  version,
  kind: 'Widget',
  resource: 'widgets',
  namespaced: true,
});

/** The first is stored. */
async function defineWidgets(...names: string[]): Promise<void> {
  const openAPIV3Schema = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
  const versions = names.map((name, i) => ({ name, served: true, storage: i === 0, schema: { openAPIV3Schema } }));
  const crd = {
    metadata: { name: 'widgets.example.com' },
    spec: { group: 'example.com', scope: 'Namespaced', names: { plural: 'widgets', kind: 'Widget' }, versions },
  };
  await server.client.create(
    Kinds.customresourcedefinitions,
    crd as unknown as Parameters<typeof server.client.create<CustomResourceDefinition>>[1],
    c,
  );
  const listed = async (): Promise<number> =>
    (await server.client.list(widgetsOf(names[0] ?? ''), {}, c).catch(() => ({ items: [{}] }))).items.length;
  await expect.poll(listed).toBe(0);
}

describe('validating webhooks', () => {
  test('the review has who, what and both objects of create, update, patch and delete', async () => {
    await configure('validating', 'v', {});
    const made = await create('a', { data: { k: '1' } });
    await server.client.update(Kinds.configmaps, { ...made, data: { k: '2' } }, c);
    await server.client.patch(Kinds.configmaps, key('a'), { type: 'merge', body: { data: { k: '3' } } }, c);
    await server.client.delete(Kinds.configmaps, key('a'), { gracePeriodSeconds: 0 }, c);
    expect(operations()).toEqual(['CREATE', 'UPDATE', 'UPDATE', 'DELETE']);
    expect(hook.seen[0]?.path).toBe('/hook?timeout=10s');
    const [created, updated, , deleted] = hook.seen.map((s) => s.review.request);
    expect(hook.seen[0]?.review).toMatchObject({ kind: 'AdmissionReview', apiVersion: 'admission.k8s.io/v1' });
    expect(created).toMatchObject({
      kind: { group: '', version: 'v1', kind: 'ConfigMap' },
      resource: { group: '', version: 'v1', resource: 'configmaps' },
      requestKind: { group: '', version: 'v1', kind: 'ConfigMap' },
      name: 'a',
      namespace: 'default',
      userInfo: { username: 'admin', groups: ['system:masters', 'system:authenticated'] },
      object: { apiVersion: 'v1', kind: 'ConfigMap', data: { k: '1' } },
      oldObject: null,
      dryRun: false,
      options: { kind: 'CreateOptions', apiVersion: 'meta.k8s.io/v1' },
    });
    expect(created).not.toHaveProperty('subResource');
    expect(updated).toMatchObject({ object: { data: { k: '2' } }, oldObject: { data: { k: '1' } } });
    expect(deleted).toMatchObject({
      object: null,
      oldObject: { data: { k: '3' } },
      options: { kind: 'DeleteOptions', gracePeriodSeconds: 0 },
    });
  });

  test('a refusal is told in its words, with its code; without one it is a 400', async () => {
    await configure('validating', 'v', {});
    hook.answer = () => ({ allowed: false, status: { code: 403, message: 'no more' } });
    await expect(create('a')).rejects.toMatchObject({
      kind: 'Forbidden',
      message: 'admission webhook "one.example.com" denied the request: no more',
    });
    hook.answer = () => ({ allowed: false, status: { reason: 'Because' } });
    await expect(create('a')).rejects.toMatchObject({
      kind: 'BadRequest',
      message: 'admission webhook "one.example.com" denied the request: Because',
    });
    hook.answer = () => ({ allowed: false });
    await expect(create('a')).rejects.toThrow(
      'admission webhook "one.example.com" denied the request without explanation',
    );
    await expect(server.client.get(Kinds.configmaps, key('a'), c)).rejects.toMatchObject({ kind: 'NotFound' });
  });

  test('what cannot be called refuses by Fail and is passed over by Ignore', async () => {
    hook.answer = () => 500;
    await configure('validating', 'v', { failurePolicy: 'Ignore' });
    await create('a');
    expect(operations()).toEqual(['CREATE']);
    await configure('validating', 'w', { name: 'two.example.com' });
    await expect(create('b')).rejects.toMatchObject({
      kind: 'Internal',
      message:
        'Internal error occurred: failed calling webhook "two.example.com": failed to call webhook: an error on the server ("broken") has prevented the request from succeeding',
    });
  });

  test.each([
    [{ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview' }, 'webhook response was absent'],
    [{ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response: { uid: 'x' } }, 'expected response.uid="'],
  ])('an answer that is no review is not believed: %j', async (said, why) => {
    await configure('validating', 'v', {});
    hook.answer = () => Buffer.from(JSON.stringify(said));
    await expect(create('a')).rejects.toThrow(`received invalid webhook response: ${why}`);
  });

  test('an answer without apiVersion and kind is not believed', async () => {
    await configure('validating', 'v', {});
    hook.answer = (s) => Buffer.from(JSON.stringify({ response: { uid: s.review.request.uid, allowed: true } }));
    await expect(create('a')).rejects.toThrow(
      'received invalid webhook response: expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got /, Kind=',
    );
  });

  test.each<[string, object]>([
    ['allowed of type bool', { allowed: 'true' }],
    ['status of type v1.Status', { allowed: true, status: 'no' }],
    ['patch of type []uint8', { allowed: true, patchType: 'JSONPatch', patch: [{ op: 'add', path: '/a', value: 1 }] }],
    ['patch of type []uint8', { allowed: true, patchType: 'JSONPatch', patch: '[{"op":"test"}]' }],
    ['warnings of type []string', { allowed: true, warnings: 'mind' }],
    ['warnings of type []string', { allowed: true, warnings: [1] }],
    ['auditAnnotations of type map[string]string', { allowed: true, auditAnnotations: { a: 1 } }],
  ])('a field of another type makes the answer unreadable, and nothing is passed over: %s', async (field, said) => {
    await configure('mutating', 'm', {});
    hook.answer = () => said;
    await expect(create('a')).rejects.toThrow(`into Go struct field AdmissionResponse.response.${field}`);
  });

  test('more than 3 MiB, bottomless nesting, an authority that is not ours, silence: failures, no hangs', async () => {
    await configure('validating', 'v', {});
    hook.answer = () => Buffer.alloc(3 * 1024 * 1024 + 1, ' ');
    await expect(create('a')).rejects.toThrow('the answer is larger than 3145728 bytes');
    hook.answer = () => Buffer.from('['.repeat(100_000));
    await expect(create('a')).rejects.toThrow('the answer nests too deeply');
    await configure('validating', 'u', { name: 'zero.example.com', clientConfig: { url: hook.url } });
    await expect(create('a')).rejects.toThrow('certificate signed by unknown authority');
    await server.client.delete(Kinds.validatingwebhookconfigurations, { namespace: '', name: 'u' }, {}, c);
    await server.client.delete(Kinds.validatingwebhookconfigurations, { namespace: '', name: 'v' }, {}, c);
    await configure('validating', 'w', { timeoutSeconds: 1 });
    hook.answer = () => new Promise(() => undefined);
    await expect(create('a')).rejects.toThrow(`Post "${hook.url}?timeout=1s": context deadline exceeded`);
  });

  test('warnings reach the client', async () => {
    await configure('validating', 'v', {});
    hook.answer = () => ({ allowed: true, warnings: ['mind this'] });
    const told: string[] = [];
    const kind = Kinds.configmaps;
    const user = { name: 'admin', groups: ['system:masters'] };
    const body = { ...configMap('a'), apiVersion: 'v1', kind: 'ConfigMap' };
    const base = { user, kind, namespace: 'default', warn: (text: string) => void told.push(text) };
    await server.api.handler.handle({ ...base, verb: 'create', body, options: {} }, c);
    expect(told).toEqual(['mind this']);
  });

  test('dry run: only without side effects', async () => {
    await configure('validating', 'v', { sideEffects: 'NoneOnDryRun' });
    await create('a', {}, true);
    expect(hook.seen[0]?.review.request).toMatchObject({ dryRun: true, options: { dryRun: ['All'] } });
  });

  test('configurations of admission are never asked about', async () => {
    hook.answer = () => ({ allowed: false });
    const all = { operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*/*'] };
    await configure('validating', 'v', { rules: [all] });
    await expect(create('a')).rejects.toThrow('denied');
    await server.client.delete(Kinds.validatingwebhookconfigurations, { namespace: '', name: 'v' }, {}, c);
    await settled();
    await create('a');
  });

  test('through a service: by the stream of the node that has its pod, with the name of the service', async () => {
    const ports = [{ name: 'https', port: 443, targetPort: 8443, protocol: 'TCP' }];
    await server.client.create(Kinds.services, { metadata: key('hook'), spec: { ports } }, c);
    const slice = {
      metadata: { name: 'hook-1', namespace: 'default', labels: { 'kubernetes.io/service-name': 'hook' } },
      addressType: 'IPv4',
      ports: [{ name: 'https', port: 8443, protocol: 'TCP' }],
      endpoints: [
        {
          addresses: ['10.42.0.9'],
          nodeName: 'n1',
          targetRef: { kind: 'Pod', namespace: 'default', name: 'hook-0', uid: 'u1' },
        },
      ],
    };
    await server.client.create(Kinds.endpointslices, slice, c);
    const service = { namespace: 'default', name: 'hook', path: '/check' };
    await configure('validating', 'v', { clientConfig: { service, caBundle: hook.caBundle } });
    await create('a');
    await create('b');
    expect(hook.seen.map((s) => s.path)).toEqual(['/check?timeout=10s', '/check?timeout=10s']);
    await configure('validating', 'w', {
      name: 'gone.example.com',
      clientConfig: { service: { namespace: 'default', name: 'gone' }, caBundle: hook.caBundle },
    });
    await expect(create('c')).rejects.toThrow(
      'failed calling webhook "gone.example.com": failed to call webhook: Post "https://gone.default.svc:443/?timeout=10s": service "gone" not found',
    );
  });
});

describe('matching', () => {
  test('selectors of namespaces and objects', async () => {
    await configure('validating', 'v', {
      namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'default' } },
      objectSelector: { matchExpressions: [{ key: 'watched', operator: 'Exists' }] },
    });
    await create('a');
    await create('b', { labels: { watched: '' } });
    await server.client.patch(Kinds.configmaps, key('b'), { type: 'merge', body: { metadata: { labels: null } } }, c);
    expect(operations()).toEqual(['CREATE', 'UPDATE']);
    await server.client.create(Kinds.namespaces, { metadata: { name: 'other' }, spec: {} }, c);
    const elsewhere = {
      ...configMap('b', { labels: { watched: '' } }),
      metadata: { name: 'b', namespace: 'other', labels: { watched: '' } },
    };
    await server.client.create(Kinds.configmaps, elsewhere, c);
    expect(hook.seen).toHaveLength(2);
  });

  test('conditions: false skips, an error leaves it to the failurePolicy, the authorizer is asked', async () => {
    await configure('validating', 'v', {
      matchConditions: [
        { name: 'named', expression: "object.metadata.name.startsWith('x') && request.operation == 'CREATE'" },
        { name: 'may', expression: "authorizer.requestResource.check('create').allowed()" },
      ],
    });
    await create('a');
    await create('x1');
    expect(hook.seen.map((s) => s.review.request.name)).toEqual(['x1']);
    await configure('validating', 'w', {
      name: 'two.example.com',
      matchConditions: [{ name: 'broken', expression: 'object.data.missing == "1"' }],
    });
    await expect(create('b')).rejects.toMatchObject({ kind: 'Forbidden' });
    await expect(create('b')).rejects.toThrow(
      `configmaps "b" is forbidden: expression 'object.data.missing == "1"' resulted in error: no such key: data`,
    );
  });

  test('another version of the same objects, unless the policy is Exact', async () => {
    const rules = [{ operations: ['CREATE'], apiGroups: ['autoscaling'], apiVersions: ['v1'], resources: ['*'] }];
    await configure('validating', 'v', { rules });
    await configure('validating', 'w', { name: 'exact.example.com', rules, matchPolicy: 'Exact' });
    const v2 = kindByResource('autoscaling', 'v2', 'horizontalpodautoscalers');
    if (v2 === undefined) throw new Error('no autoscaling/v2');
    const scaleTargetRef = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' };
    await server.client.create(
      v2,
      { metadata: key('h'), spec: { scaleTargetRef, maxReplicas: 5 } } as unknown as KubeObject,
      c,
    );
    expect(hook.seen).toHaveLength(1);
    expect(hook.seen[0]?.review.request).toMatchObject({
      kind: { group: 'autoscaling', version: 'v1' },
      requestKind: { group: 'autoscaling', version: 'v2' },
      object: { apiVersion: 'autoscaling/v1' },
    });
  });

  test('of rules that name several other versions the earliest decides', async () => {
    const rule = (apiVersions: string[]) => ({
      operations: ['CREATE'],
      apiGroups: ['example.com'],
      apiVersions,
      resources: ['widgets'],
    });
    await defineWidgets('v1', 'v2', 'v3');
    await configure('validating', 'v', { rules: [rule(['v3']), rule(['v2'])] });
    await configure('validating', 'w', { name: 'two.example.com', rules: [rule(['v2']), rule(['v3'])] });
    await server.client.create(widgetsOf('v1'), { metadata: key('a') }, c);
    const asked = hook.seen.map((s) => s.review.request.kind.version);
    expect(asked.toSorted()).toEqual(['v2', 'v3']);
  });

  test('a namespace that has no name yet is selected by its own labels', async () => {
    const rules = [{ operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['namespaces'] }];
    await configure('validating', 'v', { rules, namespaceSelector: { matchLabels: { team: 'a' } } });
    const namespace = (labels: Record<string, string>) => ({
      metadata: { generateName: 'n-', name: '', labels },
      spec: {},
    });
    await server.client.create(Kinds.namespaces, namespace({ team: 'b' }), c);
    expect(hook.seen).toHaveLength(0);
    await server.client.create(Kinds.namespaces, namespace({ team: 'a' }), c);
    expect(hook.seen).toHaveLength(1);
  });

  test('the version that was asked for comes first, and is what Exact goes by', async () => {
    const rule = (version: string) => [
      { operations: ['CREATE'], apiGroups: ['autoscaling'], apiVersions: [version], resources: ['*'] },
    ];
    await configure('validating', 'v', { rules: rule('v1'), matchPolicy: 'Exact' });
    await configure('validating', 'w', { name: 'exact.example.com', rules: rule('v2'), matchPolicy: 'Exact' });
    const v1 = kindByResource('autoscaling', 'v1', 'horizontalpodautoscalers');
    if (v1 === undefined) throw new Error('no autoscaling/v1');
    const scaleTargetRef = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' };
    const draft = { metadata: key('h1'), spec: { scaleTargetRef, maxReplicas: 5, targetCPUUtilizationPercentage: 70 } };
    await server.client.create(v1, draft as unknown as KubeObject, c);
    expect(hook.seen.map((s) => s.review.request)).toMatchObject([
      {
        kind: { version: 'v1' },
        requestKind: { version: 'v1' },
        object: { apiVersion: 'autoscaling/v1', spec: { targetCPUUtilizationPercentage: 70 } },
      },
    ]);
  });

  test('subresources are what they are of: scale, eviction', async () => {
    const resources = ['deployments/scale', 'pods/eviction'];
    const rules = [{ operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources }];
    await configure('mutating', 'm', { rules });
    const labels = { app: 'web' };
    const template = { metadata: { labels }, spec: { containers: [{ name: 'c', image: 'i' }] } };
    const spec = { replicas: 1, selector: { matchLabels: labels }, template };
    await server.client.create<Deployment>(
      Kinds.deployments,
      { metadata: key('web'), spec } as unknown as Deployment,
      c,
    );
    expect(hook.seen).toHaveLength(0);
    hook.answer = () => patchOf([{ op: 'replace', path: '/spec/replicas', value: 7 }]);
    await server.client.patch(Kinds.deployments, key('web'), { type: 'merge', body: { spec: { replicas: 3 } } }, c, {
      subresource: 'scale',
    });
    expect(hook.seen[0]?.review.request).toMatchObject({
      kind: { group: 'autoscaling', version: 'v1', kind: 'Scale' },
      resource: { group: 'apps', version: 'v1', resource: 'deployments' },
      subResource: 'scale',
      object: { kind: 'Scale', spec: { replicas: 3 } },
      oldObject: { kind: 'Scale', spec: { replicas: 1 } },
    });
    expect((await server.client.get<Deployment>(Kinds.deployments, key('web'), c)).spec?.replicas).toBe(7);
    hook.answer = () => ({ allowed: false, status: { message: 'stays' } });
    const eviction = server.client.createSub(Kinds.pods, key('p'), 'eviction', { metadata: { name: 'p' } }, c);
    await expect(eviction).rejects.toThrow('denied the request: stays');
    expect(hook.seen.at(-1)?.review.request).toMatchObject({ kind: { group: 'policy', kind: 'Eviction' } });
  });
});

describe('mutating webhooks', () => {
  const set = (name: string, value: string) => patchOf([{ op: 'add', path: `/data/${name}`, value }]);
  const nameOf = (s: SeenReview) => s.path.replace(/^\/hook\/?|\?.*$/g, '');
  const at = (path: string) => ({ url: `${hook.url}/${path}`, caBundle: hook.caBundle });

  test('patches in the order of names, each seeing the one before; unknown fields go, defaults come', async () => {
    hook.answer = (s) => {
      if (nameOf(s) === 'b') return set('b', `after ${Object.keys(s.review.request.object.data).join()}`);
      return patchOf([
        { op: 'add', path: '/data/a', value: '1' },
        { op: 'add', path: '/unknown', value: 1 },
      ]);
    };
    await configure('mutating', 'b', { name: 'b.example.com', clientConfig: at('b') });
    await configure('mutating', 'a', { name: 'a.example.com', clientConfig: at('a') });
    const made = await create('x', { data: { z: '0' } });
    expect(made.data).toEqual({ a: '1', b: 'after a,z', z: '0' });
    expect(made).not.toHaveProperty('unknown');
    expect(await server.client.get(Kinds.configmaps, key('x'), c)).toEqual(made);
  });

  test('IfNeeded: called once more after a later one changed the object, Never is not', async () => {
    hook.answer = (s) => (nameOf(s) === 'last' ? set('last', '1') : { allowed: true });
    await configure(
      'mutating',
      'm',
      { name: 'needed.example.com', clientConfig: at('needed'), reinvocationPolicy: 'IfNeeded' },
      { name: 'never.example.com', clientConfig: at('never') },
      { name: 'last.example.com', clientConfig: at('last') },
    );
    await create('x', { data: { z: '0' } });
    expect(hook.seen.map(nameOf)).toEqual(['needed', 'never', 'last', 'needed']);
  });

  test('nothing is called again when nothing changed', async () => {
    await configure('mutating', 'm', { reinvocationPolicy: 'IfNeeded' });
    await create('x');
    expect(hook.seen).toHaveLength(1);
  });

  test('what it made is validated, by us and by validating webhooks', async () => {
    hook.answer = (s) =>
      nameOf(s) === 'v' ? { allowed: true } : patchOf([{ op: 'add', path: '/data', value: { 'no good': '1' } }]);
    await configure('mutating', 'm', {});
    await expect(create('x')).rejects.toMatchObject({ kind: 'Invalid' });
    hook.answer = (s) =>
      nameOf(s) === 'v' ? { allowed: true } : patchOf([{ op: 'add', path: '/data', value: { good: '1' } }]);
    await configure('validating', 'v', { clientConfig: at('v') });
    await create('x');
    expect(hook.seen.at(-1)?.review.request.object.data).toEqual({ good: '1' });
  });

  test.each([
    ['a patch that does not apply', patchOf([{ op: 'remove', path: '/nothing' }]), 'remove operation does not apply'],
    ['a patch that is none', { allowed: true, patchType: 'JSONPatch', patch: 'e30=' }, 'received undecodable patch'],
    [
      'another type of patch',
      { ...patchOf([{ op: 'add', path: '/a', value: 1 }]), patchType: 'X' },
      'unsupported patch type "X"',
    ],
    ['a patch without a type', { allowed: true, patch: 'W10=' }, 'response.patch but not response.patchType'],
    [
      'another namespace',
      patchOf([{ op: 'replace', path: '/metadata/namespace', value: 'x' }]),
      'does not match the namespace',
    ],
    ['an object that is none', patchOf([{ op: 'replace', path: '', value: 'x' }]), 'ConfigMap'],
  ])('%s is an internal error', async (_name, said, why) => {
    await configure('mutating', 'm', {});
    hook.answer = () => said;
    await expect(create('x')).rejects.toMatchObject({ kind: 'Internal' });
    await expect(create('x')).rejects.toThrow(why);
  });

  test('audit: each call, also one that refuses; patches as parts of bodies; what webhooks say as words', async () => {
    const named = (name: string) => ({ name: `${name}.example.com`, clientConfig: at(name) });
    await configure('mutating', 'm', named('a'), { ...named('b'), failurePolicy: 'Ignore' }, named('c'));
    hook.answer = (s) => {
      if (nameOf(s) === 'a') return { ...set('a', '1'), auditAnnotations: { why: 'x' } };
      return nameOf(s) === 'b' ? 500 : { allowed: false };
    };
    const told: unknown[] = [];
    const annotate = (key: string, value: string, content?: string) => void told.push([key, value, content]);
    const user = { name: 'admin', groups: ['system:masters'] };
    const body = { ...configMap('x', { data: { z: '0' } }), apiVersion: 'v1', kind: 'ConfigMap' };
    const base = { user, kind: Kinds.configmaps, namespace: 'default', annotate };
    await expect(server.api.handler.handle({ ...base, verb: 'create', body, options: {} }, c)).rejects.toThrow(
      'denied',
    );
    const value = (name: string, o: object) =>
      JSON.stringify({ configuration: 'm', webhook: `${name}.example.com`, ...o });
    const patch = [{ op: 'add', path: '/data/a', value: '1' }];
    const of = (i: number) => `mutation.webhook.admission.k8s.io/round_0_index_${i}`;
    expect(told.filter((t) => !String(t).startsWith('pod-security'))).toEqual([
      ['a.example.com/why', 'x', 'words'],
      ['patch.webhook.admission.k8s.io/round_0_index_0', value('a', { patch, patchType: 'JSONPatch' }), 'body'],
      [of(0), value('a', { mutated: true }), undefined],
      [`failed-open.${of(1)}`, 'b.example.com', undefined],
      [of(1), value('b', { mutated: false }), undefined],
      [of(2), value('c', { mutated: false }), undefined],
    ]);
  });

  test('a DELETE cannot be patched', async () => {
    await create('x');
    await configure('mutating', 'm', {});
    hook.answer = () => patchOf([{ op: 'add', path: '/a', value: 1 }]);
    await expect(server.client.delete(Kinds.configmaps, key('x'), {}, c)).rejects.toThrow(
      'attempted to modify the object, which is not supported for this operation',
    );
    await server.client.get(Kinds.configmaps, key('x'), c);
  });

  test('v1beta1 where a webhook knows no other', async () => {
    await configure('mutating', 'm', { admissionReviewVersions: ['v1beta1'] });
    hook.answer = () => ({ ...patchOf([{ op: 'add', path: '/data', value: { k: '1' } }]), patchType: undefined });
    expect((await create('x')).data).toEqual({ k: '1' });
    expect(hook.seen[0]?.review.apiVersion).toBe('admission.k8s.io/v1beta1');
  });
});

test('metrics of calls', async () => {
  await server[Symbol.asyncDispose]();
  server = await startTestServer({ listen: true });
  hook.answer = (s) => ({ allowed: s.review.request.name === 'good', status: { code: 403 } });
  await configure('validating', 'v', {});
  await create('good');
  await expect(create('bad')).rejects.toThrow('denied');
  const http = await server.http({ commonName: 'admin', organizations: ['system:masters'] });
  const answer = await http.raw({ method: 'GET', path: '/metrics' }, c);
  const page = await answer.body.text();
  expect(page).toContain(
    'apiserver_admission_webhook_request_total{name="one.example.com",type="validating",operation="CREATE",code="200",rejected="false"} 1',
  );
  expect(page).toContain(
    'apiserver_admission_webhook_rejection_count{name="one.example.com",type="validating",operation="CREATE",error_type="no_error",rejection_code="403"} 1',
  );
});

test('connections: asked with their options before the pod is looked for; a refusal is the answer to the upgrade', async () => {
  await server[Symbol.asyncDispose]();
  server = await startTestServer({ listen: true });
  const resources = ['pods/exec', 'pods/attach', 'pods/portforward'];
  const rules = [{ operations: ['CONNECT'], apiGroups: [''], apiVersions: ['v1'], resources }];
  await configure('validating', 'v', { rules });
  hook.answer = () => ({ allowed: false, status: { code: 403, message: 'no shells' } });
  const { certPem: cert, keyPem } = await server.issueClient('admin', ['system:masters']);
  const asked = async (path: string): Promise<{ code: number | undefined; text: string }> =>
    await new Promise((resolve, reject) => {
      const headers = { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13' };
      const url = `${server.url}/api/v1/namespaces/default/pods/p/${path}`;
      const sent = request(url, { headers, cert, key: keyPem, ca: server.ca.certPem, agent: false }, (res) => {
        text(res).then((body) => resolve({ code: res.statusCode, text: body }), reject);
      });
      sent.once('error', reject);
      sent.end();
    });
  expect(await asked('exec?command=sh&command=-c&stdin=true&stdout=1&container=c')).toMatchObject({
    code: 403,
    text: expect.stringContaining('denied the request: no shells'),
  });
  expect(hook.seen[0]?.review.request).toMatchObject({
    kind: { group: '', version: 'v1', kind: 'PodExecOptions' },
    resource: { group: '', version: 'v1', resource: 'pods' },
    subResource: 'exec',
    name: 'p',
    operation: 'CONNECT',
    object: { kind: 'PodExecOptions', command: ['sh', '-c'], stdin: true, stdout: true, container: 'c' },
    oldObject: null,
  });
  expect((await asked('portforward?ports=80')).code).toBe(403);
  expect(hook.seen[1]?.review.request.object).toEqual({ kind: 'PodPortForwardOptions', apiVersion: 'v1', ports: [80] });
});
