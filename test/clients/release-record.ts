/**
 * What helm keeps of a revision: a Secret `sh.helm.release.v1.NAME.vN` of type helm.sh/release.v1 with base64 of gzipped JSON,
 * and what one looks for as labels.
 * Source: helm pkg/storage/driver/secrets.go, util.go.
 */
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';

export const RELEASE_SECRET_TYPE = 'helm.sh/release.v1';

export type ReleaseStatus =
  | 'deployed'
  | 'failed'
  | 'pending-install'
  | 'pending-rollback'
  | 'pending-upgrade'
  | 'superseded'
  | 'uninstalled'
  | 'uninstalling';

export interface ReleaseRecord {
  readonly name: string;
  readonly namespace: string;
  /** The revision: 1, 2, ... */
  readonly version: number;
  /** YAML documents. */
  readonly manifest: string;
  readonly info: { readonly status: ReleaseStatus; readonly description: string };
  readonly chart?: { readonly metadata: { readonly name: string; readonly version: string } };
  readonly hooks?: readonly { readonly name: string; readonly events?: readonly string[] }[];
  /** Values given by the user. */
  readonly config?: Readonly<Record<string, unknown>>;
}

export function secretName(name: string, revision: number): string {
  return `sh.helm.release.v1.${name}.v${revision}`;
}

export function labelsOf(r: ReleaseRecord): Record<string, string> {
  return { name: r.name, owner: 'helm', status: r.info.status, version: String(r.version) };
}

/** As it stands in the Secret's `data.release`: the record is text in base64 already before the Secret's own. */
export async function encodeRelease(r: ReleaseRecord): Promise<string> {
  const packed = await promisify(gzip)(JSON.stringify(r), { level: 9 });
  return Buffer.from(packed.toString('base64')).toString('base64');
}

export async function decodeRelease(data: string | undefined): Promise<ReleaseRecord> {
  const text = Buffer.from(data ?? '', 'base64').toString('latin1');
  const json = await promisify(gunzip)(Buffer.from(text, 'base64'));
  return JSON.parse(json.toString()) as ReleaseRecord;
}
