/**
 * Docker's form of a seccomp profile as that of the OCI specification: rules that hold for some capabilities, architectures
 * or kernels only are chosen here. Pure. Source: moby profiles/seccomp/seccomp.go (LoadProfile, setupSeccomp).
 */
import { messageOf } from '#lib/base';
import { parseSeccompProfile } from '../../../runtime/isolation/seccomp-profile.ts';
import type { OciSeccomp } from '../../../runtime/oci-spec.ts';
import { badParameter } from '../../http/contract.ts';
import { list, object, struct, text, texts } from '../../http/fields.ts';

const PROFILE_CHARS_MAX = 1 << 20;

interface Filter {
  readonly caps?: readonly string[];
  readonly arches?: readonly string[];
  readonly minKernel?: string;
}

const filterOf = struct<Filter>({ caps: texts, arches: texts, minKernel: text });

export interface SeccompTarget {
  readonly capabilities: readonly string[];
  /** As node:os names it. */
  readonly architecture: string;
  /** uname -r */
  readonly kernel: string;
}

const ARCHES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64', arm: 'arm' };
const OCI_ARCHES: Readonly<Record<string, string>> = {
  x64: 'SCMP_ARCH_X86_64',
  arm64: 'SCMP_ARCH_AARCH64',
  arm: 'SCMP_ARCH_ARM',
};

/** Throws 400. */
export function seccompOf(json: string, t: SeccompTarget): OciSeccomp {
  if (json.length > PROFILE_CHARS_MAX) throw badParameter('Decoding seccomp profile failed: it is too long');
  try {
    const profile = object(JSON.parse(json), 'the profile');
    const { archMap, syscalls, ...rest } = profile;
    const rules = list(object)(syscalls ?? [], 'syscalls')
      .filter((r) => isFor(r, t))
      .map(({ includes: _i, excludes: _e, name, names, ...rule }) => ({
        ...rule,
        names: name === undefined ? names : [name],
      }));
    const mapped = list(object)(archMap ?? [], 'archMap').find((m) => m['architecture'] === OCI_ARCHES[t.architecture]);
    const architectures =
      mapped === undefined
        ? {}
        : { architectures: [mapped['architecture'], ...texts(mapped['subArchitectures'] ?? [], 'subArchitectures')] };
    return parseSeccompProfile(JSON.stringify({ ...rest, ...architectures, syscalls: rules }));
  } catch (e) {
    throw badParameter(`Decoding seccomp profile failed: ${messageOf(e)}`);
  }
}

function isFor(rule: Readonly<Record<string, unknown>>, t: SeccompTarget): boolean {
  const arch = ARCHES[t.architecture] ?? t.architecture;
  const { caps: inCaps = [], arches: inArches = [], minKernel } = filterOf(rule['includes'] ?? {}, 'includes');
  const { caps: exCaps = [], arches: exArches = [] } = filterOf(rule['excludes'] ?? {}, 'excludes');
  return (
    inCaps.every((c) => t.capabilities.includes(c)) &&
    (inArches.length === 0 || inArches.includes(arch)) &&
    (minKernel === undefined || isFrom(t.kernel, minKernel)) &&
    !exCaps.some((c) => t.capabilities.includes(c)) &&
    !exArches.includes(arch)
  );
}

function isFrom(kernel: string, least: string): boolean {
  const number = (text: string): number => {
    const [, a = '0', b = '0'] = /^(\d+)\.(\d+)/.exec(text) ?? [];
    return Number(a) * 1000 + Number(b);
  };
  return number(kernel) >= number(least);
}
