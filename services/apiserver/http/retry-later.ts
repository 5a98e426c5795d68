/**
 * The two answers that send a client away for a while: priority and fairness has no seat, and the server is stopping. Both
 * are plain text, unlike every other error. Source: k8s.io/apiserver/pkg/server/filters/{priority-and-fairness,
 * with_retry_after}.go.
 */
import { StatusError } from '#lib/base';
import { TooBusy } from './fairness/dispatcher.ts';
import { type Answer, sendBytes } from './respond.ts';

export class ShuttingDown extends StatusError {
  constructor() {
    super('TooManyRequests', 'The apiserver is shutting down, please try again later.', {
      details: { retryAfterSeconds: 5 },
    });
  }
}

export function isRetryLater(e: StatusError): boolean {
  return e instanceof TooBusy || e instanceof ShuttingDown;
}

export async function sendRetryLater(answer: Answer, e: StatusError): Promise<void> {
  answer.res.setHeader('retry-after', String(e.details.retryAfterSeconds ?? 1));
  await sendBytes(answer, 429, Buffer.from(`${e.message}\n`), 'text/plain; charset=utf-8');
}
