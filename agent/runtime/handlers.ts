/**
 * Handlers of RuntimeClasses: which OCI runtime a pod's containers run under. '' is the node's default; crun and runc have
 * handlers of their own names where they are installed; the node's settings (node.yaml) name others, also in their place.
 * What a runtime can do is asked of itself (`features` of the OCI runtime specification), or known by its version.
 * Source: KEP-585, KEP-3857; opencontainers/runtime-spec features.md; kubernetes pkg/kubelet/nodestatus/setters.go.
 */
import { release } from 'node:os';
import type { NodeRuntimeHandler } from '#lib/api';
import { type Ctx, StatusError } from '#lib/base';
import type { Kernel } from '../kernel/kernel.ts';

export interface RuntimeHandler {
  /** As `handler` of a RuntimeClass. */
  readonly name: string;
  readonly path: string;
  /** Before all others that the runtime is called with. */
  readonly arguments: readonly string[];
}

export interface KnownHandler extends RuntimeHandler {
  /** Whatever the program is called: crun wants to be run in another way than runc. */
  readonly isCrun: boolean;
  /** It runs a seccomp filter that is handed over ready made. */
  readonly takesFilter: boolean;
  readonly recursiveReadOnlyMounts: boolean;
  /** By what it says of itself; whether this kernel can is asked in agent/user-namespaces/support.ts. */
  readonly userNamespaces: boolean;
}

type Programs = Kernel['programs'];

/** Not all have `features`; a wrapper around nothing must not hold up the agent. */
const ANSWER_MS = 10_000;
const BUILT_IN = ['crun', 'runc'];
/** mount_setattr(2), and the first crun known to take `rro`. */
const KERNEL_WITH_RRO = [5, 12] as const;
const CRUN_WITH_RRO = [1, 4] as const;
/** The first release long after containers/crun#578, which brought run.oci.seccomp_bpf_data. */
const CRUN_WITH_FILTER = [1, 0] as const;

/** Those that answer, the default ('') first. Throws Unavailable where one that the settings name does not answer. */
export async function openHandlers(
  programs: Programs,
  o: { readonly runtime: string; readonly named: readonly RuntimeHandler[] },
  c: Ctx,
): Promise<readonly KnownHandler[]> {
  const names = new Set(o.named.map((h) => h.name));
  const builtIn = BUILT_IN.filter((name) => !names.has(name)).map((name) => ({ name, path: name, arguments: [] }));
  const wanted = [{ name: '', path: o.runtime, arguments: [] }, ...o.named, ...builtIn];
  const known = await Promise.all(wanted.map((h) => ask(programs, h, c)));
  const missing = o.named.find((h) => !known.some((k) => k?.name === h.name));
  if (missing !== undefined)
    throw new StatusError(
      'Unavailable',
      `the runtime handler ${missing.name}: ${missing.path} does not tell its version`,
    );
  return known.filter((h) => h !== undefined);
}

export function nodeRuntimeHandlers(handlers: readonly KnownHandler[]): NodeRuntimeHandler[] {
  return handlers.map(({ name, recursiveReadOnlyMounts, userNamespaces }) => ({
    name,
    features: { recursiveReadOnlyMounts, userNamespaces },
  }));
}

/** Throws NotFound in the CRI's words. */
export function handlerOf(handlers: readonly KnownHandler[], name: string): KnownHandler {
  const found = handlers.find((h) => h.name === name);
  if (found === undefined)
    throw new StatusError('NotFound', `failed to get sandbox runtime: no runtime for "${name}" is configured`);
  return found;
}

async function ask(programs: Programs, h: RuntimeHandler, c: Ctx): Promise<KnownHandler | undefined> {
  const say = async (verb: string): Promise<string | undefined> => {
    const r = await programs.run([h.path, ...h.arguments, verb], { timeoutMs: ANSWER_MS }, c);
    return r.code === 0 ? r.stdout.toString() : undefined;
  };
  const [version, features] = await Promise.all([say('--version'), say('features')]);
  if (version === undefined) return undefined;
  const isCrun = version.startsWith('crun ');
  const canMount = features === undefined ? isCrun && isFrom(version, CRUN_WITH_RRO) : hasRro(features);
  const takesFilter = isCrun && isFrom(version, CRUN_WITH_FILTER) && version.includes('+SECCOMP');
  const recursiveReadOnlyMounts = canMount && isFrom(release(), KERNEL_WITH_RRO);
  const userNamespaces = features === undefined ? isCrun : hasUserNamespaces(features);
  return { ...h, isCrun, takesFilter, recursiveReadOnlyMounts, userNamespaces };
}

function hasRro(features: string): boolean {
  try {
    const { mountOptions } = JSON.parse(features) as { mountOptions?: unknown };
    return Array.isArray(mountOptions) && mountOptions.includes('rro');
  } catch {
    /* It has another command of that name. */
    return false;
  }
}

function hasUserNamespaces(features: string): boolean {
  try {
    const { linux } = JSON.parse(features) as { linux?: { namespaces?: unknown } };
    return Array.isArray(linux?.namespaces) && linux.namespaces.includes('user');
  } catch {
    /* It has another command of that name. */
    return false;
  }
}

/** The first `N.M` of a text. */
export function isFrom(text: string, [major, minor]: readonly [number, number]): boolean {
  const [, a = '0', b = '0'] = /(\d+)\.(\d+)/.exec(text) ?? [];
  return Number(a) > major || (Number(a) === major && Number(b) >= minor);
}
