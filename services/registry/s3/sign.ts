/**
 * AWS Signature Version 4 for S3. Pure.
 * Source: docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html (its examples are in sign.test.ts).
 */
import { createHash, createHmac } from 'node:crypto';

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

export interface RequestToSign {
  readonly method: string;
  readonly host: string;
  /** Encoded as it goes over the wire (encodePath). */
  readonly path: string;
  readonly query: readonly (readonly [string, string])[];
  /** Lower-case names; host and the x-amz ones of the signature are added. */
  readonly headers: Readonly<Record<string, string>>;
  /** Hex sha256 of the body. */
  readonly bodySha256: string;
}

export const EMPTY_SHA256 = createHash('sha256').digest('hex');

/** All headers to send but `host`. */
export function signed(
  r: RequestToSign,
  o: { readonly credentials: S3Credentials; readonly region: string; readonly nowMs: number },
): Record<string, string> {
  const { credentials, region } = o;
  const at = new Date(o.nowMs).toISOString().replace(/[-:]|\.\d{3}/g, '');
  const day = at.slice(0, 8);
  const headers: Record<string, string> = {
    ...r.headers,
    'x-amz-content-sha256': r.bodySha256,
    'x-amz-date': at,
    ...(credentials.sessionToken === undefined ? {} : { 'x-amz-security-token': credentials.sessionToken }),
  };
  const all = Object.entries({ ...headers, host: r.host }).sort(byCode);
  const names = all.map(([name]) => name).join(';');
  const canonical = [
    r.method,
    r.path,
    queryText(r.query),
    ...all.map(([name, value]) => `${name}:${value.trim().replace(/ +/g, ' ')}`),
    '',
    names,
    r.bodySha256,
  ].join('\n');
  const scope = `${day}/${region}/s3/aws4_request`;
  const text = `AWS4-HMAC-SHA256\n${at}\n${scope}\n${createHash('sha256').update(canonical).digest('hex')}`;
  const key = [day, region, 's3', 'aws4_request'].reduce<string | Buffer>(
    (k, part) => hmac(k, part),
    `AWS4${credentials.secretAccessKey}`,
  );
  const signature = hmac(key, text).toString('hex');
  const authorization = `AWS4-HMAC-SHA256 Credential=${credentials.accessKeyId}/${scope},SignedHeaders=${names},Signature=${signature}`;
  return { ...headers, authorization };
}

/** Sorted, strictly encoded. */
export function queryText(query: readonly (readonly [string, string])[]): string {
  return query
    .map(([k, v]) => [encode(k), encode(v)] as const)
    .sort((a, b) => byCode(a, b) || (a[1] < b[1] ? -1 : 1))
    .map(([k, v]) => `${k}=${v}`)
    .join('&');
}

/** Slashes stay. */
export function encodePath(path: string): string {
  return path.split('/').map(encode).join('/');
}

/** All but unreserved characters (RFC 3986). */
function encode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (ch) => `%${ch.charCodeAt(0).toString(16).toUpperCase()}`);
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}

function byCode(a: readonly [string, string], b: readonly [string, string]): number {
  return a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0;
}
