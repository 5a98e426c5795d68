/** Asks for the subresources that are read and written as objects, and sees the effect of each in the object itself. */
import { Kinds, type KubeObject, type Pod } from '#lib/api';
import { isKind } from '#lib/base';
import { resourcePath } from '#lib/client';
import { type Asker, type Calls, requireHeld, retriedOnConflict } from './outcome.ts';
import { keyOf, NAMESPACE, type Resource } from './resource.ts';

/** How the verbs of one subresource are asked for. */
export type SubresourceProbe = (r: Resource, object: KubeObject, a: Asker) => Calls;

/** Of `object`, which is there. */
export const OBJECT_SUBRESOURCES: Readonly<Record<string, SubresourceProbe>> = {
  status: (r, object, a) => ({
    get: () => sameObject('status', r, object, a),
    update: () => changed('status', 'update', { status: r.status[0] }, [r, object, a]),
    patch: () => changed('status', 'patch', { status: r.status[1] }, [r, object, a]),
  }),
  scale: (r, object, a) => ({
    get: async () =>
      requireHeld(await view('scale', r, object, a), { kind: 'Scale', metadata: { name: object.metadata.name } }),
    update: async () => {
      const now = await view('scale', r, object, a);
      const path = pathOf('scale', r, object);
      const body = JSON.stringify({ ...now, spec: { replicas: 2 } });
      requireHeld(await a.client.json({ method: 'PUT', path, body }, a.c), { kind: 'Scale', spec: { replicas: 2 } });
      requireHeld(await itself(r, object, a), { spec: { replicas: 2 } });
    },
    patch: async () => {
      await patched('scale', { spec: { replicas: 3 } }, [r, object, a]);
      requireHeld(await itself(r, object, a), { spec: { replicas: 3 } });
    },
  }),
  'namespaces/finalize': (r, object, a) => ({
    update: async () => {
      requireHeld(await itself(r, object, a), { spec: { finalizers: ['kubernetes'] } });
      const now = await itself(r, object, a);
      const body = JSON.stringify({ ...now, spec: { finalizers: [] } });
      await a.client.json({ method: 'PUT', path: pathOf('finalize', r, object), body }, a.c);
      const { spec } = (await itself(r, object, a)) as { spec?: { finalizers?: readonly string[] } };
      if ((spec?.finalizers ?? []).length > 0) throw new Error('the finalizer is still there');
    },
  }),
  'certificatesigningrequests/approval': (r, object, a) => ({
    get: () => sameObject('approval', r, object, a),
    update: () => changed('approval', 'update', { status: approval('update') }, [r, object, a]),
    patch: () => changed('approval', 'patch', { status: approval('patch') }, [r, object, a]),
  }),
  'serviceaccounts/token': (r, object, a) => ({
    create: async () => {
      const request = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} };
      const made = await a.client.createSub(r.kind, keyOf(r.kind, object), 'token', request, a.c);
      const { status } = made as { status?: { token?: string } };
      const claims = Buffer.from(status?.token?.split('.')[1] ?? '', 'base64url').toString();
      requireHeld(JSON.parse(claims), { sub: `system:serviceaccount:${NAMESPACE}:${object.metadata.name}` });
    },
  }),
  'pods/binding': (r, _object, a) => ({
    create: async () => {
      const pod = await podOf('to-bind', a);
      const binding = { metadata: { name: 'to-bind' }, target: { kind: 'Node', name: 'any' } };
      await a.client.createSub(r.kind, keyOf(r.kind, pod), 'binding', binding, a.c);
      requireHeld(await itself(r, pod, a), { spec: { nodeName: 'any' } });
      await a.client.delete(r.kind, keyOf(r.kind, pod), { gracePeriodSeconds: 0 }, a.c);
    },
  }),
  'pods/eviction': (r, _object, a) => ({
    create: async () => {
      const pod = await podOf('to-evict', a);
      const body = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: 'to-evict' } };
      await a.client.createSub(r.kind, keyOf(r.kind, pod), 'eviction', body, a.c);
      const left = await itself(r, pod, a).catch((e: unknown) =>
        isKind(e, 'NotFound') ? undefined : Promise.reject(e),
      );
      if (left !== undefined) throw new Error('the evicted pod is still there');
    },
  }),
  'pods/ephemeralcontainers': (r, object, a) => ({
    get: () => sameObject('ephemeralcontainers', r, object, a),
    update: () => changed('ephemeralcontainers', 'update', { spec: withDebugger('update') }, [r, object, a]),
    patch: () => changed('ephemeralcontainers', 'patch', { spec: withDebugger('patch') }, [r, object, a]),
  }),
  'pods/resize': (r, object, a) => ({
    get: () => sameObject('resize', r, object, a),
    update: async () => {
      const pod = await podOf('to-resize', a);
      await changed('resize', 'update', { spec: sized('2') }, [r, pod, a]);
    },
    patch: async () => {
      const pod = await podOf('to-resize', a);
      await changed('resize', 'patch', { spec: sized('3') }, [r, pod, a]);
      await a.client.delete(r.kind, keyOf(r.kind, pod), { gracePeriodSeconds: 0 }, a.c);
    },
  }),
};

type Of = [r: Resource, object: KubeObject, a: Asker];

export async function podOf(name: string, { client, c }: Asker): Promise<KubeObject> {
  const pod: Pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: NAMESPACE }, spec: sized('1') };
  await client.create<Pod>(Kinds.pods, pod, c).catch((e: unknown) => {
    if (!isKind(e, 'AlreadyExists')) throw e;
  });
  return pod;
}

function sized(cpu: string): Pod['spec'] {
  return { containers: [{ name: 'main', image: 'x', resources: { requests: { cpu } } }] };
}

function withDebugger(name: string): object {
  return { ephemeralContainers: [{ name, image: 'x' }] };
}

function approval(message: string): object {
  return { conditions: [{ type: 'Approved', status: 'True', reason: 'Probed', message }] };
}

function pathOf(subresource: string, r: Resource, object: KubeObject): string {
  return resourcePath(r.kind, { ...keyOf(r.kind, object), subresource });
}

async function itself(r: Resource, object: KubeObject, { client, c }: Asker): Promise<object> {
  return await client.get(r.kind, keyOf(r.kind, object), c);
}

async function view(subresource: string, r: Resource, object: KubeObject, { client, c }: Asker): Promise<object> {
  return await client.get(r.kind, keyOf(r.kind, object), c, { subresource });
}

async function sameObject(subresource: string, ...of: Of): Promise<void> {
  const [r, object] = of;
  const found = await view(subresource, ...of);
  requireHeld(found, { kind: r.kind.kind, metadata: { name: object.metadata.name } });
}

/** The change is in the object afterwards, whatever else it had stays. */
async function changed(subresource: string, how: 'update' | 'patch', change: object, of: Of): Promise<void> {
  const [r, , { client, c }] = of;
  await retriedOnConflict(async () => {
    const now = await itself(...of);
    const next = merged(now, change) as KubeObject;
    if (how === 'update') await client.update(r.kind, next, c, { subresource });
    else await patched(subresource, picked(next, change), of);
  });
  requireHeld(await itself(...of), change);
}

async function patched(subresource: string, body: object, [r, object, { client, c }]: Of): Promise<void> {
  await client.patch(r.kind, keyOf(r.kind, object), { type: 'merge', body }, c, { subresource });
}

/** Elements of lists that have the same type or name are one. */
function merged(now: unknown, change: unknown): unknown {
  if (Array.isArray(change)) {
    const list: readonly unknown[] = Array.isArray(now) ? now : [];
    const others = list.filter((x) => !change.some((y) => identity(y) === identity(x)));
    const own = change.map((y) =>
      merged(
        list.find((x) => identity(x) === identity(y)),
        y,
      ),
    );
    return [...others, ...own];
  }
  if (typeof change !== 'object' || change === null) return change;
  const next = { ...(typeof now === 'object' ? now : {}) } as Record<string, unknown>;
  for (const [k, v] of Object.entries(change)) next[k] = merged(next[k], v);
  return next;
}

function identity(element: unknown): unknown {
  const { type, name } = element as { type?: string; name?: string };
  return type ?? name ?? element;
}

/** The part of `next` that `change` speaks of, lists whole: a merge patch. */
function picked(next: object, change: object): object {
  const pick = (value: unknown, asked: unknown): unknown => {
    if (typeof asked !== 'object' || asked === null || Array.isArray(asked)) return value;
    const from = value as Record<string, unknown>;
    return Object.fromEntries(Object.entries(asked).map(([k, v]) => [k, pick(from[k], v)]));
  };
  return pick(next, change) as object;
}
