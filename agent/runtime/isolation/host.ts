/** Which security modules this kernel runs. Sources: apparmor(7) and selinux(8), their files below /sys. */
import { access, readFile } from 'node:fs/promises';
import { arch } from 'node:os';
import type { HostSecurity } from './settings.ts';

export async function hostSecurity(): Promise<HostSecurity> {
  const enabled = await readFile('/sys/module/apparmor/parameters/enabled', 'utf8').catch(() => '');
  const seLinux = await access('/sys/fs/selinux/enforce').then(
    () => true,
    () => false,
  );
  return { appArmor: enabled.startsWith('Y'), seLinux, architecture: arch() };
}
