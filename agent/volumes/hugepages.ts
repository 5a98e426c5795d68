/**
 * emptyDir of medium HugePages or HugePages-<size>: a hugetlbfs of pages that the pod has requested; its cgroup counts them.
 * Source: kubernetes pkg/volume/emptydir/empty_dir.go (setupHugepages, getPageSizeMountOption).
 */
import { statfs } from 'node:fs/promises';
import { type DeepReadonly, type Pod, parseQuantity, quantityToNumber } from '#lib/api';
import { type Ctx, StatusError } from '#lib/base';
import type { Programs } from '../kernel/kernel.ts';

const MEDIUM = 'HugePages';
const RESOURCE = 'hugepages-';
/** statfs(2). */
const HUGETLBFS_MAGIC = 0x958458f6;
const MOUNT_LIMIT_MS = 10_000;

export function isHugePages(medium: string): boolean {
  return medium === MEDIUM || medium.startsWith(`${MEDIUM}-`);
}

/** Bytes of a page. Throws Invalid, in the kubelet's words, when the pod has requested none of them. */
export function pageSizeOf(medium: string, pod: DeepReadonly<Pod>): number {
  const lists = [
    pod.spec?.resources?.requests,
    ...[...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])].map((c) => c.resources?.requests),
  ];
  const names = lists.flatMap((requests) => Object.keys(requests ?? {})).filter((name) => name.startsWith(RESOURCE));
  const requested = new Set(names.map((name) => bytesOf(name.slice(RESOURCE.length))));
  if (medium === MEDIUM && requested.size > 1)
    throw new StatusError('Invalid', `medium: ${medium} can't be used if container requests multiple huge page sizes`);
  const [only] = requested;
  const size = medium === MEDIUM ? only : bytesOf(medium.slice(MEDIUM.length + 1));
  if (size === undefined || !requested.has(size))
    throw new StatusError(
      'Invalid',
      `medium ${medium}: hugePages storage requested, but there is no resource request for huge pages`,
    );
  return size;
}

/** Idempotent: one that is mounted is left alone, contents and all. */
export async function mountHugePages(
  path: string,
  o: { readonly pageSize: number; readonly programs: Programs },
  c: Ctx,
): Promise<void> {
  if ((await statfs(path)).type === HUGETLBFS_MAGIC) return;
  const options = `nosuid,nodev,mode=777,pagesize=${o.pageSize}`;
  const argv = ['mount', '-t', 'hugetlbfs', '-o', options, 'hugetlbfs', path];
  const { code, stderr } = await o.programs.run(argv, { timeoutMs: MOUNT_LIMIT_MS }, c);
  if (code !== 0) throw new StatusError('Unavailable', `mount of huge pages failed: ${stderr.toString().trim()}`);
}

/** Throws Invalid: who writes the pod writes this. */
function bytesOf(text: string): number {
  try {
    return quantityToNumber(parseQuantity(text));
  } catch (e) {
    throw new StatusError('Invalid', `size ${JSON.stringify(text)} of huge pages is no quantity`, { cause: e });
  }
}
