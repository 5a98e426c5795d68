/**
 * How a client command reaches the API: the kubeconfig in kubectl's order ($KUBECONFIG or --kubeconfig, then the one that
 * `berth up` wrote, then ~/.kube/config), and an HttpClient on it that is closed at the end.
 */
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { type Ctx, realClock, StatusError, silentLogger } from '#lib/base';
import {
  type ClusterAccess,
  clusterAccess,
  DiscoveredResources,
  HttpClient,
  type Kubeconfig,
  mergeKubeconfig,
  readKubeconfig,
} from '#lib/client';
import { DEFAULT_INSTANCE, defaultHome, kubeconfigPath } from '../layout.ts';

/** The options every client command has. */
export interface AccessOptions {
  readonly kubeconfig?: string | undefined;
  readonly context?: string | undefined;
  readonly instance?: string | undefined;
  readonly namespace?: string | undefined;
}

export interface Output {
  write(text: string | Uint8Array): unknown;
}

/** What a command works with; tests give their own. */
export interface Session {
  readonly client: HttpClient;
  readonly access: ClusterAccess;
  readonly c: Ctx;
  readonly out: Output;
  readonly err: Output;
  /** --namespace, else the context's, else `default`. */
  readonly namespace: string;
  /** Asked once. */
  resources(): Promise<DiscoveredResources>;
}

export async function withSession<T>(o: AccessOptions, fn: (s: Session) => Promise<T>): Promise<T> {
  const found = await findAccess(o);
  const warn = (text: string): void => void process.stderr.write(`Warning: ${text}\n`);
  await using client = new HttpClient({ access: found, userAgent: 'berth-cli', warn });
  return await fn(
    newSession({ client, access: found, namespace: o.namespace, out: process.stdout, err: process.stderr }),
  );
}

export function newSession(o: {
  client: HttpClient;
  access: ClusterAccess;
  namespace?: string | undefined;
  out: Output;
  err: Output;
}): Session {
  const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
  let resources: Promise<DiscoveredResources> | undefined;
  return {
    client: o.client,
    access: o.access,
    c,
    out: o.out,
    err: o.err,
    namespace: o.namespace ?? (o.access.namespace === '' ? 'default' : o.access.namespace),
    resources: () => {
      resources ??= DiscoveredResources.load(o.client, c);
      return resources;
    },
  };
}

export async function findAccess(o: AccessOptions): Promise<ClusterAccess> {
  const paths = await kubeconfigPaths(o, process.env);
  const config = await readAll(paths);
  // Relative names of certificates are taken from the file's folder: with several files, from the first.
  return await clusterAccess(config, { context: o.context, path: paths[0] });
}

/** The files that are read, most important first. Throws NotFound when there is none, with what to do. */
export async function kubeconfigPaths(
  o: AccessOptions,
  env: Readonly<Record<string, string | undefined>>,
): Promise<readonly string[]> {
  if (o.kubeconfig !== undefined) return [o.kubeconfig];
  const named = (env['KUBECONFIG'] ?? '').split(delimiter).filter((p) => p !== '');
  if (named.length > 0 && o.instance === undefined) return named;
  const ours = kubeconfigPath({ home: env['BERTH_HOME'] ?? defaultHome(o.instance ?? DEFAULT_INSTANCE) });
  const own = join(env['HOME'] ?? homedir(), '.kube', 'config');
  const candidates = o.instance === undefined ? [ours, own] : [ours];
  for (const path of candidates) if (await isReadable(path)) return [path];
  throw new StatusError(
    'NotFound',
    `no kubeconfig: none of ${candidates.join(', ')} can be read\n` +
      "'berth up' starts a cluster and writes one (read it as root), or name one with --kubeconfig or KUBECONFIG",
  );
}

async function readAll(paths: readonly string[]): Promise<Kubeconfig> {
  let merged: Kubeconfig | undefined;
  const missing: unknown[] = [];
  for (const path of [...paths].reverse()) {
    try {
      // The first file wins, so it is merged in last.
      const config = await readKubeconfig(path);
      merged = mergeKubeconfig(merged, config, { setCurrent: config['current-context'] !== '' });
    } catch (e) {
      if (paths.length === 1 || !(e instanceof StatusError && e.kind === 'NotFound')) throw e;
      missing.push(e);
    }
  }
  if (merged === undefined) throw missing[0];
  return merged;
}

async function isReadable(path: string): Promise<boolean> {
  return await access(path, constants.R_OK).then(
    () => true,
    () => false,
  );
}
