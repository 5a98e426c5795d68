/**
 * Kinds of failure and their mappings. Operating errors are `StatusError`s with a kind and a Kubernetes-style reason;
 * programmer errors are assertions (assert.ts). Ask `isKind(e, 'NotFound')`, never match on message text.
 * Source of codes and reasons: k8s.io/apimachinery/pkg/apis/meta/v1 StatusReason; gRPC codes: grpc.io/docs/guides/status-codes.
 */
export const ERROR_KINDS = {
  BadRequest: { http: 400, grpc: 3, retry: 'never' },
  Unauthorized: { http: 401, grpc: 16, retry: 'never' },
  Forbidden: { http: 403, grpc: 7, retry: 'never' },
  NotFound: { http: 404, grpc: 5, retry: 'never' },
  MethodNotAllowed: { http: 405, grpc: 12, retry: 'never' },
  NotAcceptable: { http: 406, grpc: 3, retry: 'never' },
  AlreadyExists: { http: 409, grpc: 6, retry: 'never' },
  Conflict: { http: 409, grpc: 10, retry: 'now' },
  Expired: { http: 410, grpc: 11, retry: 'now' },
  TooLarge: { http: 413, grpc: 8, retry: 'never' },
  UnsupportedMediaType: { http: 415, grpc: 3, retry: 'never' },
  Invalid: { http: 422, grpc: 3, retry: 'never' },
  TooManyRequests: { http: 429, grpc: 8, retry: 'backoff' },
  Internal: { http: 500, grpc: 13, retry: 'backoff' },
  Unimplemented: { http: 501, grpc: 12, retry: 'never' },
  Unavailable: { http: 503, grpc: 14, retry: 'backoff' },
  DeadlineExceeded: { http: 504, grpc: 4, retry: 'backoff' },
  Cancelled: { http: 499, grpc: 1, retry: 'never' },
} as const satisfies Record<string, { http: number; grpc: number; retry: 'never' | 'now' | 'backoff' }>;

export type ErrorKind = keyof typeof ERROR_KINDS;

/** One entry of `details.causes`: which field, what is wrong, in Kubernetes' words. */
export interface ErrorCause {
  /** Absent: the message says it all (refusals by admission policies). */
  readonly reason?: string | undefined;
  readonly message: string;
  readonly field?: string | undefined;
}

export interface StatusDetails {
  readonly name?: string | undefined;
  readonly group?: string | undefined;
  /** The RESOURCE name (plural), as Kubernetes does. */
  readonly kind?: string | undefined;
  readonly uid?: string | undefined;
  readonly causes?: readonly ErrorCause[] | undefined;
  readonly retryAfterSeconds?: number | undefined;
}

export class StatusError extends Error {
  readonly kind: ErrorKind;
  /** Kubernetes `reason`; equals the kind except for a few (InternalError, RequestEntityTooLarge, ...). */
  readonly reason: string;
  readonly details: StatusDetails;

  constructor(kind: ErrorKind, message: string, o: { reason?: string; details?: StatusDetails; cause?: unknown } = {}) {
    super(message, o.cause === undefined ? undefined : { cause: o.cause });
    this.name = 'StatusError';
    this.kind = kind;
    this.reason = o.reason ?? defaultReason(kind);
    this.details = o.details ?? {};
  }
}

export function isKind(e: unknown, kind: ErrorKind): e is StatusError {
  return e instanceof StatusError && e.kind === kind;
}

/** Any thrown value as a StatusError: aborts become Cancelled, everything unknown becomes Internal with `cause` kept. */
export function toStatusError(e: unknown): StatusError {
  if (e instanceof StatusError) return e;
  if (e instanceof Error && e.name === 'AbortError')
    return new StatusError('Cancelled', 'the operation was cancelled', { cause: e });
  return new StatusError('Internal', e instanceof Error ? e.message : String(e), { cause: e });
}

export function messageOf(e: unknown): string {
  const first = firstFailure(e);
  return first instanceof Error ? first.message : String(first);
}

/** What failed first, when closing a resource failed too (`await using` wraps both into a SuppressedError). */
function firstFailure(e: unknown): unknown {
  let at = e;
  while (at instanceof Error && at.name === 'SuppressedError' && 'suppressed' in at && at.suppressed !== undefined)
    at = at.suppressed;
  return at;
}

const REASONS: Partial<Record<ErrorKind, string>> = {
  Internal: 'InternalError',
  TooLarge: 'RequestEntityTooLarge',
  Unavailable: 'ServiceUnavailable',
  DeadlineExceeded: 'Timeout',
  Unimplemented: 'MethodNotAllowed',
};

function defaultReason(kind: ErrorKind): string {
  return REASONS[kind] ?? kind;
}
