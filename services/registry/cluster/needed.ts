/**
 * What the cluster runs and what a rollback would need: the images that pods have, those that workloads would start, and those of
 * older revisions (ReplicaSets of Deployments, ControllerRevisions of StatefulSets and DaemonSets). An image's host is not looked at:
 * one registry has many names, and what is kept too much is removed later.
 */
import type { Ctx } from '#lib/base';
import { isAnyDigest, parseReference } from '#lib/oci';
import type { Needed } from '../collection/retention-plan.ts';
import type { ClusterApi } from './api.ts';
import { fieldsOf, listOf, textOf } from './fields.ts';

/** Whatever holds a pod or a pod template. */
const PATHS = [
  '/api/v1/pods',
  '/api/v1/replicationcontrollers',
  '/api/v1/podtemplates',
  '/apis/apps/v1/deployments',
  '/apis/apps/v1/replicasets',
  '/apis/apps/v1/statefulsets',
  '/apis/apps/v1/daemonsets',
  '/apis/apps/v1/controllerrevisions',
  '/apis/batch/v1/jobs',
  '/apis/batch/v1/cronjobs',
];
const PAGE_ITEMS = 250;
const DEPTH_MAX = 64;
/** Where images stand: container.image, status.imageID, volume.image.reference. */
const IMAGE_FIELDS: ReadonlySet<string> = new Set(['image', 'imageID', 'reference']);

/** Throws Unavailable when any of it cannot be known. */
export async function neededImages(api: Pick<ClusterApi, 'call'>, c: Ctx): Promise<Needed> {
  const needed = { digests: new Set<string>(), tags: new Set<string>() };
  for (const path of PATHS) {
    for (let next = ''; ; ) {
      const from = next === '' ? '' : `&continue=${encodeURIComponent(next)}`;
      const page = fieldsOf(await api.call('GET', `${path}?limit=${PAGE_ITEMS}${from}`, undefined, c));
      for (const object of listOf(page['items'])) addImages(object, needed, 0);
      next = textOf(fieldsOf(page['metadata'])['continue']);
      if (next === '') break;
    }
  }
  return needed;
}

/** Adds every image that `value` names, however deep. */
export function addImages(value: unknown, to: { digests: Set<string>; tags: Set<string> }, depth: number): void {
  if (depth > DEPTH_MAX || typeof value !== 'object' || value === null) return;
  for (const [key, v] of Object.entries(value)) {
    if (typeof v === 'string' && IMAGE_FIELDS.has(key)) addImage(v, to);
    else addImages(v, to, depth + 1);
  }
}

function addImage(text: string, { digests, tags }: { digests: Set<string>; tags: Set<string> }): void {
  const digest = text.slice(text.lastIndexOf('@') + 1);
  if (isAnyDigest(digest)) digests.add(digest);
  try {
    const { host, repository, tag, digest: named } = parseReference(text);
    if (tag === undefined && named !== undefined) return;
    // Of another registry it is kept under that one's name (services/registry/upstream/).
    for (const name of [repository, `${host.replace(':', '_')}/${repository}`]) tags.add(`${name}:${tag ?? 'latest'}`);
  } catch {
    // Not an image's name: a pod that cannot start needs nothing.
  }
}
