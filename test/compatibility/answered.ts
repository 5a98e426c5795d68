/** Asks for the kinds that are answered, not stored: reviews of who one is and what one may do, bindings, component statuses. */
import { type KindRef, Kinds } from '#lib/api';
import { resourcePath } from '#lib/client';
import { type Asker, type Calls, requireHeld } from './outcome.ts';
import { NAMESPACE } from './resource.ts';
import { podOf } from './subresources.ts';

const MAY_READ = { resource: 'secrets', verb: 'get', namespace: NAMESPACE };
const STRANGER = { user: 'nobody', groups: ['system:authenticated'] };
const ADMIN = { user: 'anybody', groups: ['system:masters'] };

type Answered = (kind: KindRef, a: Asker) => Calls;

const CALLS: Readonly<Record<string, Answered>> = {
  bindings: (kind, a) => ({
    create: async () => {
      await podOf('to-bind-too', a);
      const key = { namespace: NAMESPACE, name: 'to-bind-too' };
      await post(kind, { metadata: { name: key.name }, target: { kind: 'Node', name: 'any' } }, a);
      requireHeld(await a.client.get(Kinds.pods, key, a.c), { spec: { nodeName: 'any' } });
      await a.client.delete(Kinds.pods, key, { gracePeriodSeconds: 0 }, a.c);
    },
  }),
  componentstatuses: (kind, { client, c }) => ({
    list: async () => void (await client.list(kind, {}, c)),
    get: async () => void (await client.get(kind, { namespace: '', name: 'etcd-0' }, c)),
  }),
  selfsubjectreviews: (kind, a) => ({
    create: async () => requireHeld(await post(kind, {}, a), { status: { userInfo: { groups: ['system:masters'] } } }),
  }),
  tokenreviews: (kind, a) => ({
    create: async () => {
      const account = { namespace: NAMESPACE, name: 'default' };
      const made = await a.client.createSub(Kinds.serviceaccounts, account, 'token', TOKEN_REQUEST, a.c);
      const { status } = made as { status?: { token?: string } };
      const username = `system:serviceaccount:${NAMESPACE}:default`;
      const known = await post(kind, { spec: { token: status?.token } }, a);
      requireHeld(known, { status: { authenticated: true, user: { username } } });
      const { status: unknown } = (await post(kind, { spec: { token: 'x.y.z' } }, a)) as { status?: object };
      if (unknown !== undefined && 'authenticated' in unknown) throw new Error('any token is known');
    },
  }),
  subjectaccessreviews: accessReview,
  localsubjectaccessreviews: accessReview,
  selfsubjectaccessreviews: (kind, a) => ({
    create: async () => {
      const review = await post(kind, { spec: { resourceAttributes: MAY_READ } }, a);
      requireHeld(review, { status: { allowed: true } });
    },
  }),
  selfsubjectrulesreviews: (kind, a) => ({
    create: async () => {
      const review = await post(kind, { spec: { namespace: NAMESPACE } }, a);
      requireHeld(review, { status: { resourceRules: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }] } });
    },
  }),
};

/** Undefined: of this kind objects are stored. */
export function answeredKind(resource: string): { readonly calls: Answered; readonly state: string } | undefined {
  const calls = CALLS[resource];
  return calls === undefined ? undefined : { calls, state: STATES[resource] ?? 'answered' };
}

const STATES: Readonly<Record<string, string>> = {
  bindings: 'answered: the pod gets its node',
  componentstatuses: 'answered: an empty list',
};

const TOKEN_REQUEST = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} };

function accessReview(kind: KindRef, a: Asker): Calls {
  const ask = (who: object): Promise<unknown> => post(kind, { spec: { ...who, resourceAttributes: MAY_READ } }, a);
  return {
    create: async () => {
      requireHeld(await ask(ADMIN), { status: { allowed: true } });
      requireHeld(await ask(STRANGER), { status: { allowed: false } });
    },
  };
}

async function post(kind: KindRef, object: object, { client, c }: Asker): Promise<unknown> {
  const apiVersion = kind.group === '' ? kind.version : `${kind.group}/${kind.version}`;
  const body = {
    apiVersion,
    kind: kind.kind,
    ...(kind.namespaced ? { metadata: { namespace: NAMESPACE } } : {}),
    ...object,
  };
  const path = resourcePath(kind, { namespace: NAMESPACE });
  return await client.json({ method: 'POST', path, body: JSON.stringify(body) }, c);
}
