/** Who a container's program runs as: user, group, and the groups besides. Source: moby daemon/oci_linux.go (getUser), moby/sys/user. */
import { StatusError } from '#lib/base';
import { accountLines, type ProcessUser, resolveUser } from '../../../pods/user.ts';
import { EngineError } from '../../http/contract.ts';

/** `rootfs`: nothing runs in it yet. Throws what a start fails with. */
export async function accountOf(rootfs: string, user: string, groups: readonly string[]): Promise<ProcessUser> {
  const base = user === '' ? await rootAccount(rootfs) : await named(rootfs, user);
  if (groups.length === 0) return base;
  const known = await accountLines(rootfs, 'etc/group');
  const extra = groups.map((text) => {
    const found = known.find((g) => g[0] === text)?.[2] ?? text;
    if (!/^\d{1,10}$/.test(found)) throw new EngineError(500, `Unable to find group ${text}`);
    return Number(found);
  });
  return { ...base, additionalGids: [...new Set([...base.additionalGids, ...extra])] };
}

async function named(rootfs: string, user: string): Promise<ProcessUser> {
  try {
    return await resolveUser(rootfs, user, undefined, undefined);
  } catch (e) {
    if (!(e instanceof StatusError)) throw e;
    const file = e.message.includes('find group') ? 'group' : 'passwd';
    throw new EngineError(500, e.message.replace('in the image', `in ${file} file`), { cause: e });
  }
}

/** Who names nobody is root, with the groups that the image gives root. */
async function rootAccount(rootfs: string): Promise<ProcessUser> {
  const [passwd, group] = await Promise.all([accountLines(rootfs, 'etc/passwd'), accountLines(rootfs, 'etc/group')]);
  const line = passwd.find((p) => p[2] === '0');
  const gid = Number(line?.[3] ?? 0);
  const member = line === undefined ? [] : group.filter((g) => (g[3] ?? '').split(',').includes(line[0] ?? ''));
  const ids = [gid, ...member.map((g) => Number(g[2]))].filter((n) => Number.isSafeInteger(n) && n >= 0);
  return { uid: 0, gid: ids[0] ?? 0, additionalGids: [...new Set(ids)] };
}
