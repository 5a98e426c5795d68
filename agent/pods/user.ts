/**
 * `user[:group]` of an image or securityContext -> numeric ids, by the container's own /etc/passwd and /etc/group.
 * The files are opened below the root without following links out of it, and read up to 1 MiB (an unbounded parse is a
 * CVE class, reference/runtime.md 10). Source: moby oci/user; kubernetes pkg/kubelet/kuberuntime/security_context.go.
 */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import type { DeepReadonly, PodSecurityContext, SecurityContext } from '#lib/api';
import { readUpTo, StatusError } from '#lib/base';

export interface ProcessUser {
  readonly uid: number;
  readonly gid: number;
  readonly additionalGids: readonly number[];
}

/** For a label: `uid:gid:group,group`. */
export function userText({ uid, gid, additionalGids }: ProcessUser): string {
  return `${uid}:${gid}:${additionalGids.join(',')}`;
}

export function parseUser(text: string | undefined): ProcessUser | undefined {
  const [, uid, gid, groups = ''] = /^(\d+):(\d+):([\d,]*)$/.exec(text ?? '') ?? [];
  if (uid === undefined || gid === undefined) return undefined;
  const additionalGids = groups === '' ? [] : groups.split(',').map(Number);
  return { uid: Number(uid), gid: Number(gid), additionalGids };
}

const FILE_BYTES_MAX = 1 << 20;
const ID_MAX = 0xffff_fffe;
/** Longer than any that a system knows; what an image says is repeated in errors. */
const USER_CHARS_MAX = 1024;

/** Throws Invalid with the kubelet's words when runAsNonRoot is not met or a name is unknown. */
export async function resolveUser(
  rootfs: string,
  imageUser: string,
  pod: DeepReadonly<PodSecurityContext> | undefined,
  container: DeepReadonly<SecurityContext> | undefined,
): Promise<ProcessUser> {
  const runAsUser = container?.runAsUser ?? pod?.runAsUser;
  const runAsGroup = container?.runAsGroup ?? pod?.runAsGroup;
  if (imageUser.length > USER_CHARS_MAX)
    throw new StatusError(
      'Invalid',
      `unable to find user ${imageUser.slice(0, 64)}…: no matching entries in the image`,
    );
  const nonRoot = container?.runAsNonRoot ?? pod?.runAsNonRoot ?? false;
  const [userText = '', groupText = ''] = runAsUser === undefined ? imageUser.split(':', 2) : [String(runAsUser), ''];
  if (nonRoot && runAsUser === undefined && userText !== '' && !/^\d+$/.test(userText)) {
    throw new StatusError(
      'Invalid',
      `container has runAsNonRoot and image has non-numeric user (${userText}), cannot verify user is non-root`,
    );
  }
  const isPlainRoot = userText === '0' && groupText === '' && runAsGroup === undefined;
  const passwd = userText === '' || isPlainRoot ? [] : await accountLines(rootfs, 'etc/passwd');
  const line = passwd.find((p) => p[0] === userText || p[2] === userText);
  const uid = userText === '' ? 0 : idOf(userText, line?.[2], 'user');
  if (nonRoot && uid === 0)
    throw new StatusError(
      'Invalid',
      runAsUser === 0
        ? "container's runAsUser breaks non-root policy"
        : 'container has runAsNonRoot and image will run as root',
    );
  const groups = groupText !== '' || line !== undefined ? await accountLines(rootfs, 'etc/group') : [];
  const imageGid =
    groupText === '' ? Number(line?.[3] ?? 0) : idOf(groupText, groups.find((g) => g[0] === groupText)?.[2], 'group');
  const gid = runAsGroup ?? (runAsUser === undefined || line !== undefined ? imageGid : 0);
  /* Strict: what the image says of the user's groups does not count. Source: KEP-3619. */
  const member =
    line === undefined || pod?.supplementalGroupsPolicy === 'Strict'
      ? []
      : groups.filter((g) => (g[3] ?? '').split(',').includes(line[0] ?? '')).map((g) => Number(g[2]));
  const extra = [...(pod?.supplementalGroups ?? []), ...(pod?.fsGroup === undefined ? [] : [pod.fsGroup])];
  return { uid, gid, additionalGids: [...new Set([gid, ...member, ...extra])].filter((g) => Number.isSafeInteger(g)) };
}

function idOf(text: string, looked: string | undefined, what: string): number {
  const id = /^\d+$/.test(text) ? Number(text) : looked === undefined ? Number.NaN : Number(looked);
  if (!Number.isSafeInteger(id) || id < 0 || id > ID_MAX)
    throw new StatusError('Invalid', `unable to find ${what} ${text}: no matching entries in the image`);
  return id;
}

/** Each step is taken from the folder that was opened before: who swaps one for a link meanwhile gains nothing. */
export async function accountLines(rootfs: string, path: string): Promise<string[][]> {
  const names = path.split('/');
  let folder = await open(rootfs, constants.O_RDONLY | constants.O_DIRECTORY).catch(() => undefined);
  let file: FileHandle | undefined;
  for (const [i, name] of names.entries()) {
    if (folder === undefined) return [];
    const isLast = i === names.length - 1;
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | (isLast ? constants.O_NONBLOCK : constants.O_DIRECTORY);
    const next = await open(`/proc/self/fd/${folder.fd}/${name}`, flags).catch(() => undefined); // not there, or a link
    await folder.close();
    folder = isLast ? undefined : next;
    file = isLast ? next : undefined;
  }
  if (file === undefined) return [];
  try {
    return (await readUpTo(file, FILE_BYTES_MAX))
      .toString('utf8')
      .split('\n')
      .filter((l) => l !== '')
      .map((l) => l.split(':'));
  } finally {
    await file.close();
  }
}
