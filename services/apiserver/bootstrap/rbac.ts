/**
 * Makes the default roles and bindings, and gives stored ones back what they lack, once at every start and before the
 * server listens: nobody but members of system:masters, who need no role, can ask anything while they are missing. Any
 * number of replicas may do it at once. What is deleted later comes back with the next start, as in Kubernetes.
 * Source: pkg/registry/rbac/rest/storage_rbac.go.
 */
import {
  type ClusterRole,
  type ClusterRoleBinding,
  type DeepReadonly,
  type KindRef,
  Kinds,
  type KubeObject,
  keyOf,
  keyText,
} from '#lib/api';
import { type Ctx, isKind } from '#lib/base';
import type { Client } from '#lib/client';
import type { Rule } from '../authz/rbac/rule-matching.ts';
import { RBAC_DEFAULTS } from './rbac-defaults.ts';
import { newBinding, newRole, reconciledBinding, reconciledRole } from './rbac-reconcile.ts';

/** Writes on their way at once: they are committed in groups. */
const WRITES_AT_ONCE = 64;
const ATTEMPTS = 5;

type Step = () => Promise<void>;

export async function ensureRbacDefaults(client: Client, c: Ctx): Promise<void> {
  const d = RBAC_DEFAULTS;
  // A Role is a ClusterRole without aggregation: one code for both.
  const clusterRoles: KindRef<ClusterRole> = Kinds.clusterroles;
  const roles: KindRef<ClusterRole> = Kinds.roles;
  const clusterRoleBindings: KindRef<ClusterRoleBinding> = Kinds.clusterrolebindings;
  const roleBindings: KindRef<ClusterRoleBinding> = Kinds.rolebindings;
  await runAll([
    ...(await steps(
      client,
      clusterRoles,
      d.clusterRoles,
      newRole,
      (o, w) => roleStep(client, clusterRoles, o, w, c),
      c,
    )),
    ...(await steps(client, roles, d.roles, newRole, (o, w) => roleStep(client, roles, o, w, c), c)),
  ]);
  // After the roles: a binding never names a role that is not there yet.
  await runAll([
    ...(await steps(
      client,
      clusterRoleBindings,
      d.clusterRoleBindings,
      newBinding,
      (o, w) => bindingStep(client, clusterRoleBindings, o, w, c),
      c,
    )),
    ...(await steps(
      client,
      roleBindings,
      d.roleBindings,
      newBinding,
      (o, w) => bindingStep(client, roleBindings, o, w, c),
      c,
    )),
  ]);
}

/** Of the role system:node, as it is by default: the node authorizer does not ask what was made of the role. */
export function nodeRules(): readonly Rule[] {
  return RBAC_DEFAULTS.clusterRoles.find((r) => r.name === 'system:node')?.rules ?? [];
}

/** One list, then one step for each default that is missing or differs. */
async function steps<T extends KubeObject, D extends { readonly name: string; readonly namespace?: string }>(
  client: Client,
  kind: KindRef<T>,
  wanted: readonly D[],
  make: (d: D) => Omit<T, 'apiVersion' | 'kind'>,
  change: (stored: DeepReadonly<T>, d: D) => Step | undefined,
  c: Ctx,
): Promise<Step[]> {
  const list = await client.list<T>(kind, {}, c);
  const stored = new Map(list.items.map((o) => [keyText(keyOf(o as DeepReadonly<KubeObject>)), o]));
  const attempt = async (d: D): Promise<void> => {
    for (let tries = 1; ; tries++) {
      const key = { namespace: d.namespace ?? '', name: d.name };
      try {
        const found = tries === 1 ? stored.get(keyText(key)) : await find(client, kind, key, c);
        if (found === undefined) await client.create(kind, make(d), c);
        else await change(found, d)?.();
        return;
      } catch (e) {
        // Another replica was there first: looked at again.
        const isRace = isKind(e, 'Conflict') || isKind(e, 'AlreadyExists') || isKind(e, 'NotFound');
        if (!isRace || tries >= ATTEMPTS) throw e;
      }
    }
  };
  return wanted.flatMap((d) => {
    const found = stored.get(keyText({ namespace: d.namespace ?? '', name: d.name }));
    return found !== undefined && change(found, d) === undefined ? [] : [() => attempt(d)];
  });
}

async function find<T extends KubeObject>(
  client: Client,
  kind: KindRef<T>,
  key: { namespace: string; name: string },
  c: Ctx,
): Promise<DeepReadonly<T> | undefined> {
  try {
    return await client.get(kind, key, c);
  } catch (e) {
    if (isKind(e, 'NotFound')) return undefined;
    throw e;
  }
}

function roleStep(
  client: Client,
  kind: KindRef<ClusterRole>,
  stored: DeepReadonly<ClusterRole>,
  wanted: Parameters<typeof newRole>[0],
  c: Ctx,
): Step | undefined {
  const next = reconciledRole(stored, wanted);
  if (next === undefined) return undefined;
  return async () => void (await client.update(kind, next, c));
}

function bindingStep(
  client: Client,
  kind: KindRef<ClusterRoleBinding>,
  stored: DeepReadonly<ClusterRoleBinding>,
  wanted: Parameters<typeof newBinding>[0],
  c: Ctx,
): Step | undefined {
  const change = reconciledBinding(stored, wanted);
  if (change === undefined) return undefined;
  if (change.action === 'update') return async () => void (await client.update(kind, change.binding, c));
  return async () => {
    await client.delete(
      kind,
      keyOf(stored as DeepReadonly<KubeObject>),
      { preconditions: { uid: stored.metadata.uid } },
      c,
    );
    await client.create(kind, newBinding(wanted), c);
  };
}

async function runAll(all: readonly Step[]): Promise<void> {
  for (let i = 0; i < all.length; i += WRITES_AT_ONCE)
    await Promise.all(all.slice(i, i + WRITES_AT_ONCE).map((step) => step()));
}
