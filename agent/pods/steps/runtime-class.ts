/**
 * The OCI runtime of a pod: the handler that its RuntimeClass named when the sandbox was made, kept beside it, for the class may
 * go while the pod runs. Source: KEP-585; kubernetes pkg/kubelet/runtimeclass (LookupRuntimeHandler).
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { StatusError } from '#lib/base';
import { handlerOf } from '../../runtime/handlers.ts';
import type { PodDeps } from '../deps.ts';
import type { PodObject } from '../model.ts';

const path = (folder: string): string => join(folder, 'runtime-handler');

/** At the making of a sandbox. Throws NotFound for a class, or a handler, that is not here. */
export async function saveRuntimeHandler(d: PodDeps, pod: PodObject, folder: string): Promise<void> {
  const name = pod.spec.runtimeClassName;
  if (name === undefined || name === '') return;
  const known = await readFile(path(folder), 'utf8').catch(() => undefined);
  const handler = known ?? d.objects.get('runtimeclasses', '', name)?.handler;
  if (handler === undefined) throw new StatusError('NotFound', `runtimeclass.node.k8s.io "${name}" not found`);
  handlerOf(d.settings.runtimeHandlers, handler);
  if (known === undefined) await writeFile(path(folder), handler, { mode: 0o600 });
}

/** At the start of a container: '' is the node's default. */
export async function runtimeHandlerOf(d: PodDeps, pod: PodObject, folder: string): Promise<string> {
  const { runtimeClassName } = pod.spec;
  if (runtimeClassName === undefined || runtimeClassName === '') return '';
  await saveRuntimeHandler(d, pod, folder);
  return readFile(path(folder), 'utf8');
}

/** What the runtime of the pod's class can; of one that is not here no more is known than of the default. */
export function canMountRecursiveReadOnly(d: PodDeps, pod: PodObject): boolean {
  const { runtimeClassName = '' } = pod.spec;
  const name = d.objects.get('runtimeclasses', '', runtimeClassName)?.handler ?? '';
  return d.settings.runtimeHandlers.find((h) => h.name === name)?.recursiveReadOnlyMounts ?? false;
}
