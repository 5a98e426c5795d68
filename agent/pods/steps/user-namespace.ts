/**
 * The user namespace of a pod that asks for one (`hostUsers: false`): its range of ids is on disk before anything has one of them.
 * Source: KEP-127; kubernetes pkg/kubelet/userns (GetOrCreateUserNamespaceMappings).
 */
import { chown } from 'node:fs/promises';
import { join } from 'node:path';
import { StatusError } from '#lib/base';
import { hostId, type IdRange, type UserNamespace } from '../../user-namespaces/ranges.ts';
import type { PodDeps } from '../deps.ts';
import type { PodObject } from '../model.ts';
import type { ProcessUser } from '../user.ts';
import { runtimeHandlerOf } from './runtime-class.ts';

/** Undefined: the pod has the node's ids. Throws Unimplemented, in the kubelet's words, where it cannot be had. */
export async function userNamespaceOf(d: PodDeps, pod: PodObject, folder: string): Promise<UserNamespace | undefined> {
  if (pod.spec.hostUsers !== false) return undefined;
  const handler = await runtimeHandlerOf(d, pod, folder);
  if (d.settings.runtimeHandlers.find((h) => h.name === handler)?.userNamespaces !== true) {
    const what = handler === '' ? 'runtime' : `RuntimeClass handler "${handler}"`;
    throw new StatusError(
      'Unimplemented',
      `can't set \`spec.hostUsers: false\`, ${what} does not support user namespaces`,
    );
  }
  return userNamespaceAt(folder, await d.userNamespaces.allocate(pod.metadata.uid ?? ''));
}

/** Of a pod whose sandbox an earlier agent made. */
export function adoptedUserNamespace(d: PodDeps, pod: PodObject, folder: string): UserNamespace | undefined {
  const ids = pod.spec.hostUsers === false ? d.userNamespaces.rangeOf(pod.metadata.uid ?? '') : undefined;
  return ids && userNamespaceAt(folder, ids);
}

function userNamespaceAt(folder: string, ids: IdRange): UserNamespace {
  return { path: join(folder, 'ns', 'user'), ids };
}

/** Throws Invalid for a user or group that the pod's namespace has not; a runtime would say "invalid argument". */
export function checkUser(pod: PodObject, userNamespace: UserNamespace | undefined, user: ProcessUser): void {
  if (pod.spec.hostUsers === false && userNamespace === undefined)
    throw new StatusError('Internal', 'the user namespace of the pod is not known');
  hostId(userNamespace?.ids, user.uid, 'user');
  for (const gid of [user.gid, ...user.additionalGids]) hostId(userNamespace?.ids, gid, 'group');
}

/** To the pod's root. */
export async function giveToPod(userNamespace: UserNamespace | undefined, ...paths: readonly string[]): Promise<void> {
  if (userNamespace === undefined) return;
  const { first } = userNamespace.ids;
  await Promise.all(paths.map((path) => chown(path, first, first)));
}
