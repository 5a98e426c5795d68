/** A real helm of the machine against a cluster, and the Secrets in which it keeps its releases. */
import { fileURLToPath } from 'node:url';
import { type DeepReadonly, Kinds, type Secret } from '#lib/api';
import { RELEASE_SECRET_TYPE } from '../clients/release-record.ts';
import { type CommandResult, run, type TestCluster } from './cluster.ts';

export const SHOP_CHART = fileURLToPath(new URL('../fixtures/chart-shop', import.meta.url));

const OLDEST_MAJOR = 3;
const OLDEST_MINOR = 12;

/** From 3.12 on: `--dry-run=server` is of 3.13, all else older; undefined where no such helm is on PATH. */
export async function helmMajor(): Promise<number | undefined> {
  const { stdout, code } = await run('helm', ['version', '--template', '{{.Version}}'], {}, 20_000);
  const [, major = '', minor = ''] = /^v(\d+)\.(\d+)/.exec(stdout) ?? [];
  if (code !== 0 || major === '') return undefined;
  const isNewEnough = Number(major) > OLDEST_MAJOR || (Number(major) === OLDEST_MAJOR && Number(minor) >= OLDEST_MINOR);
  return isNewEnough ? Number(major) : undefined;
}

export function helm(cluster: TestCluster, namespace: string, ...args: string[]): Promise<CommandResult> {
  return run('helm', ['--namespace', namespace, ...args], cluster.env, 120_000);
}

/** By revision, the first first. */
export async function releaseSecrets(
  cluster: TestCluster,
  namespace: string,
  name: string,
): Promise<readonly DeepReadonly<Secret>[]> {
  const q = { namespace, labelSelector: `owner=helm,name=${name}`, fieldSelector: `type=${RELEASE_SECRET_TYPE}` };
  const { items } = await cluster.client.list<Secret>(Kinds.secrets, q, cluster.ctx);
  const version = (s: DeepReadonly<Secret>): number => Number(s.metadata.labels?.['version']);
  return items.toSorted((a, b) => version(a) - version(b));
}
