/** From definition to its end, and what its versions do to each other's objects. */
import { describe, expect, test } from 'vitest';
import { type CustomResourceDefinition, isConditionTrue, type KindRef, Kinds, type KubeObject } from '#lib/api';
import { toStatusError } from '#lib/base';
import { testContext as c, eventually, startTestServer, type TestServer } from '../testing/server.ts';

interface Widget extends KubeObject {
  spec?: { a?: string; b?: string; c?: string; n?: number; count?: number };
  status?: { count?: number };
}
type Version = CustomResourceDefinition['spec']['versions'][number];
type Properties = Record<string, { type: string; default?: unknown }>;

const NAME = { namespace: '', name: 'widgets.example.com' };
const TEXTS: Properties = { a: { type: 'string' }, b: { type: 'string' }, n: { type: 'integer' } };
const key = (name: string): { namespace: string; name: string } => ({ namespace: 'default', name });
const V1 = kindOf('v1');
const BETA = kindOf('v1beta1');

function kindOf(version: string): KindRef<Widget> {
  return { group: 'example.com', version, kind: 'Widget', resource: 'widgets', namespaced: true };
}

function version(name: string, spec: Properties, o: Partial<Version> = {}): Version {
  const openAPIV3Schema = { type: 'object', properties: { spec: { type: 'object', properties: spec } } };
  return { name, served: true, storage: false, schema: { openAPIV3Schema }, ...o };
}

function definition(
  versions: Version[],
  o: { name?: string; group?: string; annotations?: Record<string, string> } = {},
): CustomResourceDefinition {
  const { group = 'example.com', name = 'widgets', annotations = {} } = o;
  const kind = `${name.charAt(0).toUpperCase()}${name.slice(1, -1)}`;
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${name}.${group}`, annotations },
    spec: { group, scope: 'Namespaced', names: { plural: name, kind }, versions },
  };
}

async function current(server: TestServer): Promise<CustomResourceDefinition> {
  return structuredClone(await server.client.get(Kinds.customresourcedefinitions, NAME, c)) as CustomResourceDefinition;
}

async function define(server: TestServer, versions: Version[]): Promise<void> {
  await server.client.create(Kinds.customresourcedefinitions, definition(versions), c);
  await eventually(async () =>
    expect(isConditionTrue((await current(server)).status?.conditions, 'Established')).toBe(true),
  );
}

/** Changes the definition; resolves when it is served so. */
async function redefine(server: TestServer, change: (crd: CustomResourceDefinition) => void): Promise<void> {
  const crd = await current(server);
  change(crd);
  await server.client.update(Kinds.customresourcedefinitions, crd, c);
}

async function undefine(server: TestServer): Promise<void> {
  await server.client.delete(Kinds.customresourcedefinitions, NAME, {}, c);
  await gone(server);
}

async function gone(server: TestServer): Promise<void> {
  await expect.poll(() => failureOf(server.client.get(Kinds.customresourcedefinitions, NAME, c))).toBe('NotFound');
}

async function failureOf(call: Promise<unknown>): Promise<string> {
  return await call.then(
    () => 'done',
    (e) => toStatusError(e).kind,
  );
}

function config(apiVersion: string, spec: object): object {
  return { apiVersion, kind: 'Widget', metadata: key('a'), spec };
}

describe('the end of a definition', () => {
  test('objects go with it when no version is served any more', async () => {
    await using server = await startTestServer();
    await define(server, [version('v1', TEXTS, { storage: true })]);
    await server.client.create(V1, { metadata: key('a') }, c);
    await redefine(server, ({ spec }) => {
      for (const v of spec.versions) v.served = false;
    });
    await undefine(server);
    await define(server, [version('v1', TEXTS, { storage: true })]);
    expect((await server.client.list(V1, {}, c)).items).toEqual([]);
  });

  test('while an object holds it, nothing is created, by apply neither; conditions say so', async () => {
    await using server = await startTestServer();
    const { client } = server;
    await define(server, [version('v1', TEXTS, { storage: true })]);
    await client.create(V1, { metadata: { ...key('held'), finalizers: ['example.com/hold'] } }, c);
    await redefine(server, ({ metadata }) => {
      metadata.finalizers = ['example.com/keep'];
    });
    await client.delete(Kinds.customresourcedefinitions, NAME, {}, c);
    await eventually(async () =>
      expect((await client.get(V1, key('held'), c)).metadata.deletionTimestamp).toBeDefined(),
    );
    await expect(client.create(V1, { metadata: key('a') }, c)).rejects.toThrow(
      'widgets.example.com "a" is forbidden: create not allowed while custom resource definition is terminating',
    );
    const apply = client.patch(V1, key('a'), { type: 'apply', body: config('example.com/v1', {}) }, c, {
      fieldManager: 'm',
    });
    expect(await failureOf(apply)).toBe('Forbidden');
    const reason = async (): Promise<string | undefined> =>
      (await current(server)).status?.conditions.find((x) => x.type === 'Terminating')?.reason;
    expect(await reason()).toBe('InstanceDeletionInProgress');
    await client.patch(V1, key('held'), { type: 'merge', body: { metadata: { finalizers: null } } }, c);
    await expect.poll(reason).toBe('InstanceDeletionCompleted');
    const { metadata } = await current(server);
    expect(metadata.finalizers).toEqual(['example.com/keep']);
    await redefine(server, (crd) => {
      crd.metadata.finalizers = [];
    });
    await gone(server);
  });

  test('objects that are created all the while are not there when it is defined again', async () => {
    await using server = await startTestServer();
    for (let round = 0; round < 3; round++) {
      await define(server, [version('v1', TEXTS, { storage: true })]);
      expect((await server.client.list(V1, {}, c)).items).toEqual([]);
      const state = { isOver: false };
      const write = async (_: unknown, writer: number): Promise<void> => {
        for (let i = 0; !state.isOver; i++) {
          await failureOf(server.client.create(V1, { metadata: key(`o-${writer}-${i}`) }, c));
          await new Promise((resolve) => setImmediate(resolve));
        }
      };
      const writers = Array.from({ length: 8 }, write);
      await expect.poll(async () => (await server.client.list(V1, {}, c)).items.length).toBeGreaterThan(20);
      await undefine(server);
      state.isOver = true;
      await Promise.all(writers);
    }
  });
});

describe('names', () => {
  test('those of built-in kinds are taken, so that their objects are never mistaken for custom ones', async () => {
    await using server = await startTestServer();
    const { client } = server;
    await client.create(Kinds.roles, { metadata: key('keep'), rules: [] }, c);
    const group = 'rbac.authorization.k8s.io';
    const annotations = { 'api-approved.kubernetes.io': 'unapproved, a test' };
    const name = { namespace: '', name: `roles.${group}` };
    const roles = definition([version('v1beta9', TEXTS, { storage: true })], { name: 'roles', group, annotations });
    await client.create(Kinds.customresourcedefinitions, roles, c);
    await eventually(async () => {
      const { status } = await client.get(Kinds.customresourcedefinitions, name, c);
      expect(status?.conditions).toMatchObject([
        { type: 'NamesAccepted', status: 'False', message: expect.stringContaining('is already in use') },
        { type: 'Established', status: 'False', reason: 'NotAccepted' },
        { type: 'KubernetesAPIApprovalPolicyConformant', status: 'False', reason: 'UnapprovedAnnotation' },
      ]);
    });
    expect(await failureOf(client.list({ ...Kinds.roles, version: 'v1beta9' }, {}, c))).toBe('NotFound');
    await client.delete(Kinds.customresourcedefinitions, name, {}, c);
    await expect.poll(() => failureOf(client.get(Kinds.customresourcedefinitions, name, c))).toBe('NotFound');
    expect((await client.get(Kinds.roles, key('keep'), c)).metadata.name).toBe('keep');
  });
});

describe('versions', () => {
  test('an object has the defaults of the version it was written in, and the fields of the version asked for', async () => {
    await using server = await startTestServer();
    const { client } = server;
    await define(server, [
      version('v1', { a: { type: 'string' }, b: { type: 'string', default: 'v1' } }, { storage: true }),
      version('v1beta1', {
        a: { type: 'string' },
        b: { type: 'string', default: 'beta' },
        c: { type: 'string', default: 'lost' },
      }),
    ]);
    const made = await client.create(BETA, { metadata: key('a'), spec: { a: 'x' } }, c);
    // c is no field of the version that is stored.
    expect(made.spec).toEqual({ a: 'x', b: 'beta' });
    await client.create(V1, { metadata: key('b'), spec: {} }, c);
    expect((await client.get(BETA, key('b'), c)).spec).toEqual({ b: 'v1' });
    await redefine(server, ({ spec }) => {
      const [v1] = spec.versions;
      Object.assign(v1?.schema?.openAPIV3Schema?.properties?.['spec']?.properties ?? {}, {
        a: { type: 'string', default: 'late' },
      });
    });
    await expect.poll(async () => (await client.get(BETA, key('b'), c)).spec).toEqual({ a: 'late', b: 'v1' });
  });

  test('who applies in one version and then in another is one manager; nothing changed is no write in any version', async () => {
    await using server = await startTestServer();
    const { client } = server;
    await define(server, [version('v1', TEXTS, { storage: true }), version('v1beta1', TEXTS)]);
    const o = { fieldManager: 'm' };
    const first = { type: 'apply', body: config('example.com/v1beta1', { a: '1', b: '2' }) } as const;
    await client.patch(BETA, key('a'), first, c, o);
    const second = { type: 'apply', body: config('example.com/v1', { a: '1' }) } as const;
    const applied = await client.patch(V1, key('a'), second, c, o);
    expect(applied.spec).toEqual({ a: '1' });
    expect(applied.metadata.managedFields).toMatchObject([{ manager: 'm', apiVersion: 'example.com/v1' }]);
    const read = structuredClone(await client.get(BETA, key('a'), c)) as Widget;
    const written = await client.update(BETA, read, c);
    expect(written.metadata.resourceVersion).toBe(read.metadata.resourceVersion);
    const body = { apiVersion: 'example.com/v1beta1' };
    expect(await failureOf(client.patch(V1, key('a'), { type: 'merge', body }, c))).toBe('BadRequest');
  });

  test('a new storage version: kept on record, written by the next write, the old one dropped when it is off the record', async () => {
    await using server = await startTestServer();
    const { client } = server;
    await define(server, [version('v1beta1', TEXTS, { storage: true })]);
    await client.create(BETA, { metadata: key('a'), spec: { a: 'x' } }, c);
    await redefine(server, ({ spec }) => {
      for (const v of spec.versions) v.storage = false;
      spec.versions.push(version('v1', TEXTS, { storage: true }));
    });
    expect((await current(server)).status?.storedVersions).toEqual(['v1beta1', 'v1']);
    const old = await eventually(async () => await client.get(V1, key('a'), c));
    const migrated = await client.update(V1, structuredClone(old) as Widget, c);
    expect(migrated.metadata.resourceVersion).not.toBe(old.metadata.resourceVersion);
    expect(migrated.metadata.generation).toBe(1);
    const drop = redefine(server, ({ spec }) => void spec.versions.shift());
    await expect(drop).rejects.toThrow(
      'status.storedVersions[0]: Invalid value: "v1beta1": missing from spec.versions',
    );
    const crd = await current(server);
    const status = { ...crd.status, storedVersions: ['v1'] } as typeof crd.status;
    await client.update(Kinds.customresourcedefinitions, { ...crd, status }, c, { subresource: 'status' });
    await redefine(server, ({ spec }) => void spec.versions.shift());
    await expect.poll(() => failureOf(client.get(BETA, key('a'), c))).toBe('NotFound');
    expect((await client.get(V1, key('a'), c)).spec).toEqual({ a: 'x' });
  });

  test('deprecated ones and plain finalizers come with warnings', async () => {
    await using server = await startTestServer();
    await define(server, [
      version('v1', TEXTS, { storage: true }),
      version('v1beta1', TEXTS, { deprecated: true }),
      version('v1alpha1', TEXTS, { deprecated: true, deprecationWarning: 'leave it' }),
    ]);
    const warnings: string[] = [];
    const user = { name: 'admin', groups: ['system:masters'] };
    const base = { user, namespace: 'default', warn: (text: string) => void warnings.push(text), options: {} };
    const body = { metadata: { name: 'a', finalizers: ['plain', 'example.com/fine', 'orphan'] } };
    await server.api.handler.handle({ ...base, kind: BETA, verb: 'create', body }, c);
    await server.api.handler.handle({ ...base, kind: kindOf('v1alpha1'), verb: 'list', query: {} }, c);
    await server.api.handler.handle({ ...base, kind: V1, verb: 'list', query: {} }, c);
    expect(warnings).toEqual([
      'example.com/v1beta1 Widget is deprecated; use example.com/v1 Widget',
      'metadata.finalizers: "plain": prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts with other finalizer writers',
      'leave it',
    ]);
  });
});

describe('writes', () => {
  test('an update names its resourceVersion; what is no object is refused', async () => {
    await using server = await startTestServer();
    const { client } = server;
    await define(server, [version('v1', TEXTS, { storage: true })]);
    const made = await client.create(V1, { metadata: key('a') }, c);
    const { resourceVersion: _, ...metadata } = made.metadata;
    await expect(client.update(V1, { ...made, metadata } as Widget, c)).rejects.toThrow(
      'metadata.resourceVersion: Invalid value: 0x0: must be specified for an update',
    );
    const patch = (body: object): Promise<string> => failureOf(client.patch(V1, key('a'), { type: 'merge', body }, c));
    expect(await patch({ metadata: null })).not.toBe('Internal');
    expect(await patch({ metadata: { labels: { a: 1 } } })).toBe('BadRequest');
    expect(await patch({ spec: { n: 1.5 } })).toBe('Invalid');
  });

  test('scale where nothing was said of replicas: may be set, not left out', async () => {
    await using server = await startTestServer();
    const { client } = server;
    const scale = { specReplicasPath: '.spec.count', statusReplicasPath: '.status.count' };
    const spec = { ...TEXTS, count: { type: 'integer' } };
    await define(server, [version('v1', spec, { storage: true, subresources: { status: {}, scale } })]);
    await client.create(V1, { metadata: key('a') }, c);
    const patch = (body: object): Promise<unknown> =>
      client.patch(V1, key('a'), { type: 'merge', body }, c, { subresource: 'scale' });
    await expect(patch({ spec: {} })).rejects.toThrow('the spec replicas field ".spec.count" cannot be empty');
    expect(await patch({ spec: { replicas: 3 } })).toMatchObject({ kind: 'Scale', spec: { replicas: 3 } });
    expect((await client.get(V1, key('a'), c)).spec).toEqual({ count: 3 });
  });
});

describe('several servers', () => {
  test('defined at one, used at the other at once', async () => {
    await using one = await startTestServer();
    await using two = await startTestServer({ store: one.store, listen: true });
    const http = await two.http({ commonName: 'admin', organizations: ['system:masters'] });
    for (let round = 0; round < 3; round++) {
      await define(one, [version('v1', TEXTS, { storage: true })]);
      const path = '/apis/example.com/v1/widgets';
      expect(await http.json({ method: 'GET', path, accept: 'application/json' }, c)).toMatchObject({ items: [] });
      await undefine(one);
    }
  });
});
