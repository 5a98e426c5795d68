/** A real helm of the machine against a cluster, and what it keeps there: a Secret of gzipped JSON for each revision. */
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { type DeepReadonly, Kinds, type Secret } from '#lib/api';
import { type CommandResult, run, type TestCluster } from './cluster.ts';

export const SHOP_CHART = fileURLToPath(new URL('../fixtures/chart-shop', import.meta.url));
export const RELEASE_SECRET_TYPE = 'helm.sh/release.v1';

const OLDEST_MAJOR = 3;
const OLDEST_MINOR = 12;

/** From 3.12 on: `--dry-run=server` is of 3.13, all else older; undefined where no such helm is on PATH. */
export async function helmMajor(): Promise<number | undefined> {
  const { stdout, code } = await run('helm', ['version', '--template', '{{.Version}}'], {}, 20_000);
  const [, major = '', minor = ''] = /^v(\d+)\.(\d+)\./.exec(stdout) ?? [];
  if (code !== 0 || major === '') return undefined;
  const isNewEnough = Number(major) > OLDEST_MAJOR || (Number(major) === OLDEST_MAJOR && Number(minor) >= OLDEST_MINOR);
  return isNewEnough ? Number(major) : undefined;
}

export function helm(cluster: TestCluster, namespace: string, ...args: string[]): Promise<CommandResult> {
  return run('helm', ['--namespace', namespace, ...args], cluster.env, 120_000);
}

/** What a release Secret says of itself. */
export interface StoredRelease {
  readonly name: string;
  readonly namespace: string;
  readonly version: number;
  readonly manifest: string;
  readonly info: { readonly status: string; readonly description: string };
  readonly hooks?: readonly { readonly name: string; readonly events: readonly string[] }[];
  readonly config?: Readonly<Record<string, unknown>>;
}

/** helm writes base64 of gzip of JSON into the Secret, whose bytes are base64 of that again. */
export async function decodeRelease(secret: DeepReadonly<Secret>): Promise<StoredRelease> {
  const once = Buffer.from(secret.data?.['release'] ?? '', 'base64').toString('latin1');
  const json = await promisify(gunzip)(Buffer.from(once, 'base64'));
  return JSON.parse(json.toString()) as StoredRelease;
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
