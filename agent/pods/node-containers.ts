/** All containers of this node's pods, also of those that have ended but are kept, by the names of their pods. */
import type { Ctx } from '#lib/base';
import type { ContainerState } from '../runtime/runtime.ts';
import type { PodDeps } from './deps.ts';
import type { PodManager } from './manager.ts';
import { LABELS } from './steps/container.ts';

export interface NodeContainer {
  readonly id: string;
  readonly namespace: string;
  readonly pod: string;
  readonly uid: string;
  readonly container: string;
  readonly image: string;
  readonly imageId: string;
  readonly state: ContainerState;
}

/** Of a pod that nobody wants any more the name is no longer known: its uid stands for it. */
export async function nodeContainers(
  d: Pick<PodDeps, 'runtime'>,
  manager: Pick<PodManager, 'worker'>,
  c: Ctx,
): Promise<readonly NodeContainer[]> {
  const records = await d.runtime.list(c);
  return records.flatMap(({ id, labels, state }) => {
    const uid = labels[LABELS.uid];
    if (uid === undefined) return [];
    const { name: pod = uid, namespace = '' } = manager.worker(uid)?.pod.metadata ?? {};
    const container = labels[LABELS.container] ?? '';
    const image = labels[LABELS.image] ?? '';
    return [{ id, namespace, pod, uid, container, image, imageId: labels[LABELS.imageId] ?? '', state }];
  });
}
