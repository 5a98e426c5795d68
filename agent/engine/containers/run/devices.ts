/** `--device` and `--device-cgroup-rule`: device nodes of the host, and who may use them. Source: moby daemon/pkg/oci/devices_linux.go. */
import { lstat, readdir, realpath, stat } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { deviceNumbers } from '../../../runtime/isolation/host-devices.ts';
import type { OciDevice, OciResources } from '../../../runtime/oci-spec.ts';
import { EngineError } from '../../http/contract.ts';
import type { HostConfig, Resources } from '../../types.ts';
import type { BlockDevices } from './resources.ts';

type Rule = NonNullable<OciResources['devices']>[number];

const DEVICES_MAX = 1024;
const DEPTH_MAX = 4;

export interface GivenDevices {
  readonly devices: readonly OciDevice[];
  readonly rules: readonly Rule[];
}

/** Throws what a start fails with. */
export async function givenDevices(h: HostConfig): Promise<GivenDevices> {
  const devices: OciDevice[] = [];
  const rules: Rule[] = [];
  for (const { PathOnHost: path, PathInContainer: target, CgroupPermissions: access } of h.Devices ?? []) {
    const found = await devicesAt(path, target || path, 0);
    if (found.length === 0)
      throw new EngineError(
        500,
        `error gathering device information while adding custom device ${JSON.stringify(path)}: ${
          (await stat(path).catch(() => undefined)) === undefined ? 'no such file or directory' : 'not a device node'
        }`,
      );
    devices.push(...found);
    for (const { type, major, minor } of found)
      rules.push({ allow: true, type, major, minor, access: access || 'rwm' });
  }
  return { devices: devices.slice(0, DEVICES_MAX), rules: [...rules, ...(h.DeviceCgroupRules ?? []).map(ruleOf)] };
}

/** A device, or all below a folder. */
async function devicesAt(path: string, target: string, depth: number): Promise<OciDevice[]> {
  const real = depth === 0 ? await realpath(path).catch(() => path) : path;
  const s = await lstat(real).catch(() => undefined);
  if (s === undefined) return [];
  if (s.isCharacterDevice() || s.isBlockDevice()) {
    const { major, minor } = deviceNumbers(BigInt(s.rdev));
    const type = s.isBlockDevice() ? 'b' : 'c';
    return [{ path: posix.resolve('/', target), type, major, minor, fileMode: s.mode & 0o777, uid: s.uid, gid: s.gid }];
  }
  if (!s.isDirectory() || depth >= DEPTH_MAX) return [];
  const out: OciDevice[] = [];
  for (const name of await readdir(real).catch(() => []))
    if (out.length < DEVICES_MAX) out.push(...(await devicesAt(join(real, name), join(target, name), depth + 1)));
  return out;
}

/** `c 1:3 mr`, `a *:* rwm`. */
function ruleOf(text: string): Rule {
  const [, type = 'a', major = '*', minor = '*', access = ''] = /^([acb]) (\d+|\*):(\d+|\*) ([rwm]+)$/.exec(text) ?? [];
  return {
    allow: true,
    type,
    access,
    ...(major === '*' ? {} : { major: Number(major) }),
    ...(minor === '*' ? {} : { minor: Number(minor) }),
  };
}

/** Throws for a path that is no device: a limit of nothing would be lost without a word. */
export async function blockDevices(r: Resources): Promise<BlockDevices> {
  const numbers = new Map<string, { major: number; minor: number }>();
  const lists = [r.BlkioWeightDevice, r.BlkioDeviceReadBps, r.BlkioDeviceWriteBps];
  for (const { Path } of [...lists, r.BlkioDeviceReadIOps, r.BlkioDeviceWriteIOps].flatMap(
    (l): readonly { readonly Path: string }[] => l ?? [],
  )) {
    const s = await stat(Path).catch(() => undefined);
    if (s === undefined) throw new EngineError(500, `stat ${Path}: no such file or directory`);
    numbers.set(Path, deviceNumbers(BigInt(s.rdev)));
  }
  return { numbers };
}
