import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type CustomResourceDefinition, isConditionTrue, type KindRef, Kinds, type KubeObject } from '#lib/api';
import { addValidating } from '../admission/policy/testing/policies.ts';
import { testContext as c, startTestServer, type TestServer } from '../testing/server.ts';
import { type Answer, type SeenReview, startWebhookServer, type WebhookServer } from '../testing/webhook-server.ts';

interface Widget extends KubeObject {
  spec?: { colour?: string; color?: string; size?: number };
}

const refOf = (version: string): KindRef<Widget> => ({
  group: 'example.com',
  version,
  kind: 'Widget',
  resource: 'widgets',
  namespaced: true,
});
/** Stored as v1 with `color`; v2 calls it `colour`. */
const V1 = refOf('v1');
const V2 = refOf('v2');
const key = (name: string): { namespace: string; name: string } => ({ namespace: 'default', name });

let hook: WebhookServer;
let server: TestServer;
beforeEach(async () => {
  hook = await startWebhookServer(converted);
  server = await startTestServer({ nodeStreams: hook.streams });
  await defined();
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
  await hook[Symbol.asyncDispose]();
});

function converted({ review }: SeenReview): Answer {
  const { objects, desiredAPIVersion } = review.request as { objects: Widget[]; desiredAPIVersion: string };
  const convertedObjects = objects.map((o) => other(o, desiredAPIVersion));
  return { result: { status: 'Success' }, convertedObjects };
}

function other(o: Widget, apiVersion: string): Widget {
  const { color, colour, ...rest } = o.spec ?? {};
  const name = apiVersion.endsWith('/v1') ? 'color' : 'colour';
  return { ...o, apiVersion, spec: { ...rest, [name]: color ?? colour } } as Widget;
}

function versionOf(name: string, field: string, storage: boolean): object {
  const spec = { type: 'object', properties: { [field]: { type: 'string' }, size: { type: 'integer' } } };
  const openAPIV3Schema = { type: 'object', properties: { spec } };
  return { name, served: true, storage, schema: { openAPIV3Schema } };
}

async function defined(): Promise<void> {
  const definition = {
    metadata: { name: 'widgets.example.com' },
    spec: {
      group: 'example.com',
      scope: 'Namespaced',
      names: { plural: 'widgets', kind: 'Widget' },
      versions: [versionOf('v1', 'color', true), versionOf('v2', 'colour', false)],
      conversion: {
        strategy: 'Webhook',
        webhook: {
          clientConfig: { url: hook.url, caBundle: hook.caBundle },
          conversionReviewVersions: ['v1'],
        },
      },
    },
  };
  const crds = Kinds.customresourcedefinitions;
  await server.client.create(crds, definition as unknown as CustomResourceDefinition, c);
  const isEstablished = async (): Promise<boolean> => {
    const crd = await server.client.get(crds, { namespace: '', name: 'widgets.example.com' }, c);
    return isConditionTrue(crd.status?.conditions, 'Established');
  };
  await expect.poll(isEstablished).toBe(true);
}

const create = (kind: KindRef<Widget>, name: string, spec: Widget['spec']) =>
  server.client.create(kind, { metadata: key(name), ...(spec ? { spec } : {}) }, c);
const get = (kind: KindRef<Widget>, name: string) => server.client.get(kind, key(name), c);

describe('conversion webhooks', () => {
  test('written in one version, read in both', async () => {
    const made = await create(V2, 'a', { colour: 'red' });
    expect(made).toMatchObject({ apiVersion: 'example.com/v2', spec: { colour: 'red' } });
    expect(hook.seen[0]?.review).toMatchObject({
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'ConversionReview',
      request: { desiredAPIVersion: 'example.com/v1', objects: [{ apiVersion: 'example.com/v2' }] },
    });
    const calls = hook.seen.length;
    expect(await get(V1, 'a')).toMatchObject({ apiVersion: 'example.com/v1', spec: { color: 'red' } });
    // What lies in the version asked for is not sent.
    expect(hook.seen).toHaveLength(calls);
    expect(await get(V2, 'a')).toMatchObject({ apiVersion: 'example.com/v2', spec: { colour: 'red' } });
  });

  test('lists go in one batch and keep their order', async () => {
    for (const name of ['a', 'b', 'c']) await create(V1, name, { color: name });
    hook.seen.length = 0;
    const { items } = await server.client.list(V2, { namespace: 'default' }, c);
    expect(items.map((w) => [w.metadata.name, w.spec?.colour])).toEqual([
      ['a', 'a'],
      ['b', 'b'],
      ['c', 'c'],
    ]);
    expect(hook.seen).toHaveLength(1);
  });

  test('update, patch and apply in the version that is not stored; metadata is kept', async () => {
    const made = await create(V2, 'a', { colour: 'red' });
    const updated = await server.client.update(V2, { ...made, spec: { colour: 'green' } }, c);
    expect(updated.metadata).toMatchObject({ generation: 2, uid: made.metadata.uid });
    const body = { spec: { size: 3 } };
    const patched = await server.client.patch(V2, key('a'), { type: 'merge', body }, c);
    expect(patched.spec).toEqual({ colour: 'green', size: 3 });
    const applied = { apiVersion: 'example.com/v2', kind: 'Widget', metadata: key('a'), spec: { colour: 'blue' } };
    const options = { fieldManager: 'test', force: true };
    await server.client.patch(V2, key('a'), { type: 'apply', body: applied }, c, options);
    expect((await get(V1, 'a')).spec).toEqual({ color: 'blue', size: 3 });
  });

  test('watchers get each event in their version', async () => {
    await create(V1, 'a', { color: 'red' });
    const seen: unknown[] = [];
    for await (const e of server.client.watch(V2, { namespace: 'default' }, c)) {
      if (e.type === 'BOOKMARK') continue;
      seen.push([e.type, e.object.apiVersion, e.object.spec?.colour]);
      if (seen.length === 1) await create(V1, 'b', { color: 'green' });
      else break;
    }
    expect(seen).toEqual([
      ['ADDED', 'example.com/v2', 'red'],
      ['ADDED', 'example.com/v2', 'green'],
    ]);
  });

  test('a watch that nothing converts for ends with an error, the others go on', async () => {
    await create(V1, 'a', { color: 'red' });
    hook.answer = () => ({ result: { status: 'Failed', message: 'cannot' } });
    const watched = async (kind: KindRef<Widget>): Promise<string[]> => {
      const seen: string[] = [];
      for await (const e of server.client.watch(kind, { namespace: 'default' }, c)) {
        seen.push(e.type);
        if (e.type === 'ADDED') break;
      }
      return seen;
    };
    await expect(watched(V2)).rejects.toThrow('failed: cannot');
    expect(await watched(V1)).toContain('ADDED');
    await expect(server.client.list(V2, { namespace: 'default' }, c)).rejects.toMatchObject({ kind: 'Internal' });
    hook.answer = converted;
    expect(await watched(V2)).toContain('ADDED');
  });

  test('what is large goes in several batches', async () => {
    for (const name of ['a', 'b', 'c']) await create(V1, name, { color: name.repeat(600_000) });
    hook.seen.length = 0;
    const { items } = await server.client.list(V2, { namespace: 'default' }, c);
    expect(items.map((w) => w.spec?.colour?.slice(0, 2))).toEqual(['aa', 'bb', 'cc']);
    expect(hook.seen.map((s) => s.review.request.objects.length)).toEqual([1, 1, 1]);
  });

  test('what many ask for at a time is asked of the webhook once', async () => {
    await create(V1, 'a', { color: 'red' });
    hook.seen.length = 0;
    const all = await Promise.all(Array.from({ length: 8 }, () => server.client.list(V2, { namespace: 'default' }, c)));
    expect(all.map((l) => l.items[0]?.spec?.colour)).toEqual(Array(8).fill('red'));
    expect(hook.seen).toHaveLength(1);
  });

  test('a failure is told as Kubernetes words it, and nothing is stored', async () => {
    hook.answer = () => ({ result: { status: 'Failed', message: 'cannot' } });
    const subject = 'conversion webhook for example.com/v2, Kind=Widget';
    await expect(create(V2, 'a', { colour: 'red' })).rejects.toMatchObject({
      kind: 'Internal',
      message: `${subject} failed: cannot`,
    });
    hook.answer = () => 500;
    await expect(create(V2, 'a', { colour: 'red' })).rejects.toThrow(`${subject} failed: an error on the server`);
    await expect(get(V1, 'a')).rejects.toMatchObject({ kind: 'NotFound' });
  });

  const change = (of: (o: Widget) => unknown) => (seen: SeenReview) => {
    const { convertedObjects } = converted(seen) as { convertedObjects: Widget[] };
    return { result: { status: 'Success' }, convertedObjects: convertedObjects.map(of) };
  };

  test.each<[string, (o: Widget) => unknown, string]>([
    ['another name', (o) => ({ ...o, metadata: { ...o.metadata, name: 'x' } }), 'must have the same name: a != x'],
    ['another uid', (o) => ({ ...o, metadata: { ...o.metadata, uid: 'x' } }), 'must have the same UID: '],
    ['another kind', (o) => ({ ...o, kind: 'X' }), 'invalid kind (expected Widget, received X)'],
    [
      'another version',
      (o) => ({ ...o, apiVersion: 'example.com/v3' }),
      'invalid groupVersion (expected example.com/v1',
    ],
    ['no object', () => 7, "Object 'Kind' is missing"],
    [
      'labels that are none',
      (o) => ({ ...o, metadata: { ...o.metadata, labels: { a: 1 } } }),
      'must be a map of strings',
    ],
    [
      'labels that nobody may have',
      (o) => ({ ...o, metadata: { ...o.metadata, labels: { a: 'b c' } } }),
      'metadata.labels: Invalid value: "b c": a valid label must be',
    ],
    [
      'annotations that nobody may have',
      (o) => ({ ...o, metadata: { ...o.metadata, annotations: { 'a b': 'c' } } }),
      'metadata.annotations: Invalid value: "a b": name part must consist of',
    ],
  ])('an answer with %s is refused', async (_name, of, why) => {
    hook.answer = change(of);
    const returned =
      'conversion webhook for example.com/v2, Kind=Widget returned invalid converted object at index 0: ';
    await expect(create(V2, 'a', { colour: 'red' })).rejects.toThrow(returned);
    await expect(create(V2, 'a', { colour: 'red' })).rejects.toThrow(why);
  });

  test('too few objects; labels and annotations may change, other metadata may not', async () => {
    hook.answer = () => ({ result: { status: 'Success' }, convertedObjects: [] });
    await expect(create(V2, 'a', {})).rejects.toThrow('returned 0 objects, expected 1');
    hook.answer = change((o) => ({ ...o, metadata: { ...o.metadata, labels: { by: 'hook' }, finalizers: ['x/y'] } }));
    await create(V2, 'a', { colour: 'red' });
    hook.answer = converted;
    const { metadata } = await get(V1, 'a');
    expect(metadata.labels).toEqual({ by: 'hook' });
    expect(metadata.finalizers).toBeUndefined();
  });

  test('a policy about a version that nothing converts to refuses, unless its failures are ignored', async () => {
    const matchConstraints = {
      resourceRules: [
        { apiGroups: ['example.com'], apiVersions: ['v2'], resources: ['widgets'], operations: ['CREATE' as const] },
      ],
    };
    const validations = [{ expression: "object.spec.colour != 'red'" }];
    await addValidating(server, 'ignoring', { matchConstraints, validations, failurePolicy: 'Ignore' });
    await server.client.list(V1, {}, c);
    await expect(create(V1, 'a', { color: 'red' })).rejects.toThrow('failed expression');
    hook.answer = () => ({ result: { status: 'Failed', message: 'cannot' } });
    await create(V1, 'a', { color: 'red' });
    await addValidating(server, 'failing', { matchConstraints, validations });
    await server.client.list(V1, {}, c);
    await expect(create(V1, 'b', { color: 'blue' })).rejects.toMatchObject({
      kind: 'Invalid',
      message: expect.stringContaining(
        "ValidatingAdmissionPolicy 'failing' with binding 'failing-b' denied request: failed to configure binding: failed to convert object version: conversion webhook for example.com/v1, Kind=Widget failed: cannot",
      ),
    });
  });

  test('admission webhooks for one version see requests of the other converted', async () => {
    const admission = await startWebhookServer(() => ({ allowed: true }));
    try {
      const rules = [{ operations: ['*'], apiGroups: ['example.com'], apiVersions: ['v1'], resources: ['widgets'] }];
      const webhook = {
        name: 'one.example.com',
        clientConfig: { url: admission.url, caBundle: admission.caBundle },
        rules,
        sideEffects: 'None',
        admissionReviewVersions: ['v1'],
      };
      const object = { metadata: { name: 'm' }, webhooks: [webhook] };
      await server.client.create(Kinds.mutatingwebhookconfigurations, object, c);
      await server.client.list(V1, {}, c);
      const patch = Buffer.from(JSON.stringify([{ op: 'add', path: '/spec/size', value: 9 }])).toString('base64');
      admission.answer = () => ({ allowed: true, patchType: 'JSONPatch', patch });
      const made = await create(V2, 'a', { colour: 'red' });
      expect(made.spec).toEqual({ colour: 'red', size: 9 });
      expect(admission.seen[0]?.review.request).toMatchObject({
        kind: { version: 'v1' },
        requestKind: { version: 'v2' },
        object: { apiVersion: 'example.com/v1', spec: { color: 'red' } },
      });
    } finally {
      await admission[Symbol.asyncDispose]();
    }
  });
});
