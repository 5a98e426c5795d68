/** The registry's failures in the spec's form (distribution-spec spec.md "Error Codes"): code, status, JSON body. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type ErrorKind, isKind, type Logger, StatusError } from '#lib/base';

const CODES = {
  BLOB_UNKNOWN: { http: 404, kind: 'NotFound', text: 'blob unknown to registry' },
  BLOB_UPLOAD_INVALID: { http: 400, kind: 'BadRequest', text: 'blob upload invalid' },
  BLOB_UPLOAD_UNKNOWN: { http: 404, kind: 'NotFound', text: 'blob upload unknown to registry' },
  DIGEST_INVALID: { http: 400, kind: 'BadRequest', text: 'provided digest did not match uploaded content' },
  MANIFEST_BLOB_UNKNOWN: {
    http: 404,
    kind: 'NotFound',
    text: 'manifest references a manifest or blob unknown to registry',
  },
  MANIFEST_INVALID: { http: 400, kind: 'BadRequest', text: 'manifest invalid' },
  MANIFEST_UNKNOWN: { http: 404, kind: 'NotFound', text: 'manifest unknown to registry' },
  NAME_INVALID: { http: 400, kind: 'BadRequest', text: 'invalid repository name' },
  NAME_UNKNOWN: { http: 404, kind: 'NotFound', text: 'repository name not known to registry' },
  UNAUTHORIZED: { http: 401, kind: 'Unauthorized', text: 'authentication required' },
  DENIED: { http: 403, kind: 'Forbidden', text: 'requested access to the resource is denied' },
  TOOMANYREQUESTS: { http: 429, kind: 'TooManyRequests', text: 'too many requests' },
  SIZE_INVALID: { http: 400, kind: 'BadRequest', text: 'provided length did not match content length' },
  UNSUPPORTED: { http: 405, kind: 'MethodNotAllowed', text: 'the operation is unsupported' },
} as const satisfies Record<string, { http: number; kind: ErrorKind; text: string }>;

export type ErrorCode = keyof typeof CODES;

/** `message` defaults to the code's own sentence. */
export function registryError(code: ErrorCode, message?: string, cause?: unknown): StatusError {
  return new StatusError(CODES[code].kind, message ?? CODES[code].text, { reason: code, cause });
}

/** Runs `fn`; an Invalid or BadRequest of lib/oci becomes `code`. */
export async function invalidAs<T>(code: ErrorCode, fn: () => T | Promise<T>): Promise<T> {
  try {
    return await fn();
  } catch (e) {
    if (isKind(e, 'Invalid') || isKind(e, 'BadRequest') || isKind(e, 'Unimplemented'))
      throw registryError(code, e.message, e);
    throw e;
  }
}

/** Answers with what `e` means. When the answer is already on its way the connection is cut, so that nobody takes it for whole. */
export function sendError(req: IncomingMessage, res: ServerResponse, e: unknown, log: Logger): void {
  if (res.headersSent || res.destroyed) {
    if (!res.writableEnded) res.destroy();
    return;
  }
  const { status, code, message } = describe(e);
  if (status >= 500 && status !== 503) log.error({ err: e, method: req.method, url: req.url }, 'request failed');
  const body = Buffer.from(JSON.stringify({ errors: [{ code, message }] }));
  const wait = e instanceof StatusError ? e.details.retryAfterSeconds : undefined;
  const headers = { 'content-type': 'application/json', 'content-length': body.length };
  res.writeHead(status, wait === undefined ? headers : { ...headers, 'retry-after': String(wait) });
  res.end(req.method === 'HEAD' ? undefined : body);
  req.resume(); // what the client still sends is dropped, so that the connection stays usable
}

function describe(e: unknown): { status: number; code: string; message: string } {
  if (e instanceof StatusError && e.reason in CODES) {
    const code = e.reason as ErrorCode;
    return { status: CODES[code].http, code, message: e.message };
  }
  if (isKind(e, 'TooLarge')) return { status: 413, code: 'SIZE_INVALID', message: e.message };
  const isFull = e instanceof Error && 'code' in e && (e.code === 'ENOSPC' || e.code === 'EDQUOT');
  if (isFull) return { status: 507, code: 'UNKNOWN', message: 'no space left on the registry (ENOSPC)' };
  if (isKind(e, 'Unavailable')) return { status: 503, code: 'UNAVAILABLE', message: e.message };
  return { status: 500, code: 'UNKNOWN', message: 'the registry failed; its log says why' };
}
