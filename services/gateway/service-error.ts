/** Our errors as the end of a gRPC call: the code by kind, the message as details. */
import type { Metadata } from '@grpc/grpc-js';
import { ERROR_KINDS, toStatusError } from '#lib/base';

/** FAILED_PRECONDITION: trying again in the same way cannot help. */
const FENCED_CODE = 9;

export function failCall(call: { emit(event: 'error', e: Error): boolean }, e: unknown, metadata?: Metadata): void {
  call.emit('error', serviceError(e, metadata));
}

export function serviceError(e: unknown, metadata?: Metadata): Error & { code: number; details: string } {
  const known = toStatusError(e);
  const code = known.reason === 'Fenced' ? FENCED_CODE : ERROR_KINDS[known.kind].grpc;
  const extra = metadata === undefined ? {} : { metadata };
  return Object.assign(new Error(known.message), { code, details: known.message, ...extra });
}
