/** `berth kubeconfig`: prints the cluster's kubeconfig or its path, or merges it into the user's own without losing anything there. */
import { chmod, mkdir, realpath, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { stringify } from 'yaml';
import { isKind } from '#lib/base';
import { mergeKubeconfig, readKubeconfig, removeContext, writeKubeconfig } from '#lib/client';
import { type AccessOptions, kubeconfigPaths } from '../client/access.ts';
import { wrongUse } from '../client/arguments.ts';
import { DEFAULT_INSTANCE, defaultHome, kubeconfigPath } from '../layout.ts';

export interface KubeconfigOptions extends AccessOptions {
  readonly home?: string;
  readonly path?: boolean;
  readonly merge?: boolean;
  readonly into?: string;
  readonly setCurrent?: boolean;
  readonly remove?: boolean;
}

type Env = Readonly<Record<string, string | undefined>>;

/** Returns what is to be printed. */
export async function kubeconfigCommand(o: KubeconfigOptions, env: Env = process.env): Promise<string> {
  if (o.setCurrent === true && o.merge !== true) throw wrongUse('--set-current goes with --merge');
  const source = await sourcePath(o, env);
  if (o.path === true) return `${source}\n`;
  const config = await readKubeconfig(source);
  if (o.merge !== true && o.remove !== true) return stringify(config, { lineWidth: 0 });
  // Through a link: what is written takes the place of the file, and should not take that of the link.
  const named = o.into ?? userPath(env);
  const target = await realpath(named).catch(() => named);
  if (target === (await realpath(source)))
    throw wrongUse(`${target} is the cluster's own kubeconfig: name another with --into`);
  const before = await readKubeconfig(target).catch((e: unknown) => {
    if (isKind(e, 'NotFound')) return undefined;
    throw e;
  });
  const name = config['current-context'];
  if (o.remove === true) {
    if (before?.contexts.some((c) => c.name === name) !== true) return `${target} has no context "${name}".\n`;
    await writeKubeconfig(target, removeContext(before, name));
    return `Removed context "${name}" from ${target}.\n`;
  }
  const merged = mergeKubeconfig(before, config, { setCurrent: o.setCurrent === true });
  await mkdir(dirname(target), { recursive: true, mode: 0o700 });
  const mode = await stat(target).then(
    (x) => x.mode & 0o777,
    () => undefined,
  );
  await writeKubeconfig(target, merged);
  if (mode !== undefined && mode !== 0o600) await chmod(target, mode & 0o700);
  const isCurrent = merged['current-context'] === name;
  const next = isCurrent
    ? 'It is the current one.'
    : `Use it with 'kubectl --context ${name} …', or merge with --set-current.`;
  return `Context "${name}" is in ${target}. ${next}\n`;
}

async function sourcePath(o: KubeconfigOptions, env: Env): Promise<string> {
  if (o.kubeconfig !== undefined) return o.kubeconfig;
  if (o.home !== undefined) return kubeconfigPath({ home: o.home });
  const ours = kubeconfigPath({ home: env['BERTH_HOME'] ?? defaultHome(o.instance ?? DEFAULT_INSTANCE) });
  if (o.merge === true || o.remove === true) return ours;
  const [first = ours] = await kubeconfigPaths(o, { ...env, KUBECONFIG: undefined });
  return first;
}

/** Where kubectl writes: the first of $KUBECONFIG, else ~/.kube/config. */
export function userPath(env: Env): string {
  const [first] = (env['KUBECONFIG'] ?? '').split(delimiter).filter((p) => p !== '');
  return first ?? join(env['HOME'] ?? homedir(), '.kube', 'config');
}
