/** Which security modules this kernel runs. Sources: apparmor(7) and selinux(8), their files below /sys. */
import { access, readdir, readFile } from 'node:fs/promises';
import { arch } from 'node:os';
import { heldCapabilities } from './capabilities.ts';
import type { HostSecurity } from './settings.ts';

export async function hostSecurity(): Promise<HostSecurity> {
  const enabled = await readFile('/sys/module/apparmor/parameters/enabled', 'utf8').catch(() => '');
  const seLinux = await access('/sys/fs/selinux/enforce').then(
    () => true,
    () => false,
  );
  const capabilities = heldCapabilities(await readFile('/proc/self/status', 'latin1'));
  const maskedPaths = await throttlePaths();
  return { appArmor: enabled.startsWith('Y'), seLinux, architecture: arch(), maskedPaths, capabilities };
}

/** What they tell lets one container measure others. Source: kubernetes pkg/securitycontext/util.go. */
async function throttlePaths(): Promise<string[]> {
  const folder = '/sys/devices/system/cpu';
  const names = (await readdir(folder).catch(() => [])).filter((n) => /^cpu\d+$/.test(n));
  const paths = names.map((n) => `${folder}/${n}/thermal_throttle`);
  const found = await Promise.all(
    paths.map((p) =>
      access(p).then(
        () => [p],
        () => [],
      ),
    ),
  );
  return found.flat();
}
