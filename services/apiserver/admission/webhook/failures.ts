/**
 * What a call of a webhook may come to but a yes, and how the request is then answered.
 * Source: k8s.io/apiserver/pkg/util/webhook/error.go, admission/plugin/webhook/errors/statuserror.go.
 */
import { ERROR_KINDS, type ErrorKind, type StatusDetails, StatusError } from '#lib/base';
import { statusOfError } from '#lib/client';
import type { ReviewResult } from './review.ts';

/** The webhook could not be asked, or gave no answer that can be used: failurePolicy decides. */
export class CallFailure extends Error {
  /** Of the answer, for metrics. */
  readonly code: number;

  constructor(webhook: string, why: string, o: { readonly code: number; readonly cause?: unknown }) {
    super(`failed calling webhook ${JSON.stringify(webhook)}: ${why}`, { cause: o.cause });
    this.name = 'CallFailure';
    this.code = o.code;
  }
}

/** The webhook said no. */
export class Rejection extends Error {
  readonly status: StatusError;

  constructor(status: StatusError) {
    super(status.message);
    this.name = 'Rejection';
    this.status = status;
  }
}

export function internalError(message: string, cause?: unknown): StatusError {
  return new StatusError('Internal', `Internal error occurred: ${message}`, {
    details: { causes: [{ reason: '', message }] },
    cause,
  });
}

/** At least 400, whatever the webhook says; kinds of failure that we do not have become those nearest to them. */
export function rejectionOf(webhook: string, said: ReviewResult['status']): StatusError {
  const denied = `admission webhook ${JSON.stringify(webhook)} denied the request`;
  const { message = '', reason = '', code = 0, details } = said ?? {};
  const text = typeof message === 'string' && message !== '' ? message : reason;
  const full = typeof text === 'string' && text !== '' ? `${denied}: ${text}` : `${denied} without explanation`;
  return new StatusError(kindOfCode(typeof code === 'number' ? code : 0), full, {
    reason: typeof reason === 'string' ? reason : '',
    ...(details === undefined ? {} : { details: detailsOf(details) }),
  });
}

export function codeOf(e: StatusError): number {
  return statusOfError(e).code;
}

function kindOfCode(code: number): ErrorKind {
  const kinds: readonly ErrorKind[] = PREFERRED.filter((kind) => ERROR_KINDS[kind].http === code);
  const [first] = kinds;
  if (first !== undefined) return first;
  return code >= 500 ? 'Internal' : 'BadRequest';
}

/** Of kinds with one code the one that fits a refusal. */
const PREFERRED: readonly ErrorKind[] = [
  'BadRequest',
  'Unauthorized',
  'Forbidden',
  'NotFound',
  'MethodNotAllowed',
  'NotAcceptable',
  'Conflict',
  'Expired',
  'TooLarge',
  'UnsupportedMediaType',
  'Invalid',
  'TooManyRequests',
  'Internal',
  'Unimplemented',
  'Unavailable',
  'DeadlineExceeded',
];

function detailsOf(details: object): StatusDetails {
  const { name, group, kind, uid, causes, retryAfterSeconds } = Object.fromEntries(Object.entries(details)) as {
    [key in keyof StatusDetails]: unknown;
  };
  const text = (v: unknown): string | undefined => (typeof v === 'string' ? v : undefined);
  return {
    name: text(name),
    group: text(group),
    kind: text(kind),
    uid: text(uid),
    causes: Array.isArray(causes) ? causes.map(causeOf) : undefined,
    retryAfterSeconds: typeof retryAfterSeconds === 'number' ? retryAfterSeconds : undefined,
  };
}

function causeOf(cause: unknown): { reason: string; message: string; field?: string } {
  const fields: { [key: string]: unknown } =
    typeof cause === 'object' && cause !== null ? Object.fromEntries(Object.entries(cause)) : {};
  const { reason, message, field } = fields;
  const text = (v: unknown): string => (typeof v === 'string' ? v : '');
  return { reason: text(reason), message: text(message), ...(typeof field === 'string' ? { field } : {}) };
}
