/** `--security-opt`. Pure. Source: moby daemon/daemon_unix.go (parseSecurityOpt). */
import { badParameter } from '../../http/contract.ts';

export interface SecurityOptions {
  readonly noNewPrivileges: boolean;
  /** undefined = the default one; `unconfined`, or the profile's JSON. */
  readonly seccomp: string | undefined;
  /** undefined = the default one; `unconfined`, or a name. */
  readonly appArmor: string | undefined;
  /** user, role, type, level, disable; undefined = none named. */
  readonly labels: Readonly<Record<string, string>> | undefined;
  readonly writableCgroups: boolean;
}

const LABELS = ['user', 'role', 'type', 'level', 'filetype'];

/** Throws 400. `systempaths=unconfined` and `mask=` are the client's own: they come as MaskedPaths. */
export function securityOf(options: readonly string[]): SecurityOptions {
  let out: SecurityOptions = {
    noNewPrivileges: false,
    seccomp: undefined,
    appArmor: undefined,
    labels: undefined,
    writableCgroups: false,
  };
  for (const option of options) {
    const [, key = '', value] = /^([a-z-]+)(?:[=:]([\s\S]*))?$/.exec(option) ?? [];
    const flag = (): boolean => {
      if (value === undefined || value === 'true' || value === '1') return true;
      if (value === 'false' || value === '0') return false;
      throw badParameter(`invalid --security-opt 2: ${JSON.stringify(option)}`);
    };
    if (key === 'no-new-privileges') out = { ...out, noNewPrivileges: flag() };
    else if (key === 'writable-cgroups') out = { ...out, writableCgroups: flag() };
    else if (key === 'disable' && value === undefined) out = { ...out, labels: { ...out.labels, disable: '' } };
    else if (value === undefined) throw badParameter(`invalid --security-opt 1: ${JSON.stringify(option)}`);
    else if (key === 'seccomp') out = { ...out, seccomp: value };
    else if (key === 'apparmor') out = { ...out, appArmor: value };
    else if (key === 'label') out = { ...out, labels: { ...out.labels, ...labelOf(value, option) } };
    else throw badParameter(`invalid --security-opt 2: ${JSON.stringify(option)}`);
  }
  return out;
}

function labelOf(value: string, option: string): Readonly<Record<string, string>> {
  if (value === 'disable') return { disable: '' };
  const [, name = '', rest = ''] = /^([a-z]+):(.*)$/.exec(value) ?? [];
  if (!LABELS.includes(name))
    throw badParameter(
      `Bad label option ${JSON.stringify(option)}, valid options 'disable' or \n'user, role, level, type, filetype' followed by ':' and a value`,
    );
  return { [name]: rest };
}
