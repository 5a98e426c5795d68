/** How a call of gRPC failed. Source: github.com/grpc/grpc, doc/statuscodes.md. */

/** By number. */
const NAMES = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
];
export const CANCELLED = 1;
export const UNKNOWN = 2;
export const DEADLINE_EXCEEDED = 4;
const RESOURCE_EXHAUSTED = 8;
const ABORTED = 10;
export const INTERNAL = 13;
export const UNAVAILABLE = 14;
const UNAUTHENTICATED = 16;

export class RpcError extends Error {
  readonly code: number;

  constructor(code: number, details: string) {
    super(`${code} ${NAMES[code] ?? 'UNKNOWN'}: ${details}`);
    this.name = 'RpcError';
    this.code = code;
  }
}

/** The same call may succeed later, or elsewhere: connections that broke, members without a leader, too much work at once. */
export function isRecoverable(e: unknown): boolean {
  if (!(e instanceof RpcError)) return false;
  if (/requested lease not found|permission denied|request is too large|larger than max/.test(e.message)) return false;
  switch (e.code) {
    case CANCELLED:
    case UNKNOWN:
    case DEADLINE_EXCEEDED:
    case RESOURCE_EXHAUSTED:
    case ABORTED:
    case INTERNAL:
    case UNAVAILABLE:
      return true;
    default:
      return isFromLearner(e) || /no leader|leader changed|server stopped/.test(e.message);
  }
}

/** The member that answered is of no use now, another one may be. */
export function isOfOneMember(e: RpcError): boolean {
  return e.code === UNAVAILABLE || isFromLearner(e);
}

/** It has no vote yet and refuses nearly all. Older ones say so as Unavailable (rpctypes/error.go, ErrGRPCNotSupportedForLearner). */
function isFromLearner(e: RpcError): boolean {
  return e.message.includes('rpc not supported for learner');
}

/** Of an answer without a grpc-status, by its HTTP status (doc/http-grpc-status-mapping.md). */
export function codeOfHttp(status: number): number {
  switch (status) {
    case 400:
      return INTERNAL;
    case 401:
      return UNAUTHENTICATED;
    case 403:
      return 7;
    case 404:
      return 12;
    case 429:
    case 502:
    case 503:
    case 504:
      return UNAVAILABLE;
    default:
      return UNKNOWN;
  }
}
