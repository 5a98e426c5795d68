/** metav1.Status as a StatusError and back: the one mapping between answers and errors. */
import { ERROR_KINDS, type ErrorCause, type ErrorKind, StatusError } from '#lib/base';

export { statusOfError } from '#lib/base';

interface StatusBody {
  readonly message?: string;
  readonly reason?: string;
  readonly code?: number;
  readonly details?: {
    name?: string;
    group?: string;
    kind?: string;
    uid?: string;
    causes?: readonly ErrorCause[];
    retryAfterSeconds?: number;
  };
}

const KINDS_BY_REASON: Readonly<Record<string, ErrorKind>> = {
  InternalError: 'Internal',
  RequestEntityTooLarge: 'TooLarge',
  ServiceUnavailable: 'Unavailable',
  ServerTimeout: 'DeadlineExceeded',
  Timeout: 'DeadlineExceeded',
  Gone: 'Expired',
  Fenced: 'Conflict',
};

/** `body` is a parsed Status object, or undefined when the answer had none (`fallback` is then its text). */
export function errorOfStatus(code: number, body: unknown, fallback = ''): StatusError {
  const status = isStatus(body) ? body : {};
  const reason = status.reason ?? '';
  const kind = kindOf(reason, code);
  const message = status.message ?? (fallback.trim() === '' ? `the server answered ${code}` : fallback.trim());
  return new StatusError(kind, message, {
    ...(reason === '' ? {} : { reason }),
    ...(status.details === undefined ? {} : { details: status.details }),
  });
}

function kindOf(reason: string, code: number): ErrorKind {
  if (Object.hasOwn(ERROR_KINDS, reason)) return reason as ErrorKind;
  const byReason = KINDS_BY_REASON[reason];
  if (byReason !== undefined) return byReason;
  for (const [kind, row] of Object.entries(ERROR_KINDS)) if (row.http === code) return kind as ErrorKind;
  return code >= 500 ? 'Internal' : 'BadRequest';
}

function isStatus(body: unknown): body is StatusBody {
  return typeof body === 'object' && body !== null && (body as { kind?: unknown }).kind === 'Status';
}
