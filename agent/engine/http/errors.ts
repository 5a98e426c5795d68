/** What of an error a client is told: the status of its kind, and its message. Source: moby daemon/server/httpstatus/status.go. */
import { ERROR_KINDS, messageOf, toStatusError } from '#lib/base';
import { EngineError } from './contract.ts';

export interface ErrorAnswer {
  readonly status: number;
  readonly message: string;
}

export function answerOf(e: unknown): ErrorAnswer {
  const message = messageOf(e);
  if (e instanceof EngineError) return { status: e.status, message };
  const { kind } = toStatusError(e);
  /* Docker knows 400 alone for what a client got wrong. */
  const isMistake = kind === 'Invalid' || kind === 'UnsupportedMediaType' || kind === 'NotAcceptable';
  return { status: isMistake ? 400 : ERROR_KINDS[kind].http, message };
}
