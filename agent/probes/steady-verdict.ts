/** What an answer means that the prober did not take for a plain success: the words are those of http-get.ts. Pure. */
import { getSystemErrorMap } from 'node:util';
import { messageOf } from '#lib/base';
import { dialErrorText, hostPort } from './dial-error.ts';
import { answerOf, failure, type HttpAnswer, REDIRECTS, timeoutError } from './http-get.ts';
import type { HttpTarget } from './http-request.ts';
import { type HttpResponse, ResponseReader } from './http-response.ts';
import type { SteadyEnd } from './steady-prober.ts';

/** undefined: it must be asked again, by who follows redirects. Throws where there is no answer. */
export function httpVerdict(t: HttpTarget, end: SteadyEnd): HttpAnswer | undefined {
  const reader = new ResponseReader();
  let response: HttpResponse | undefined;
  try {
    response = reader.push(end.bytes);
    if (response === undefined && end.how === 'answered') response = reader.end();
  } catch (e) {
    throw failure(t, messageOf(e));
  }
  if (response === undefined)
    throw failure(t, messageOf(end.how === 'timedOut' ? timeoutError(reader.hasHead) : callError(t, end)));
  return REDIRECTS.includes(response.status) ? undefined : answerOf(response);
}

/** Throws: a connection that came about is a success. */
export function tcpVerdict(t: { readonly host: string; readonly port: number }, end: SteadyEnd): never {
  if (end.how === 'timedOut') throw new Error(`dial tcp ${hostPort(t.host, t.port)}: i/o timeout`);
  throw callError(t, end);
}

function callError({ host, port }: { readonly host: string; readonly port: number }, end: SteadyEnd): Error {
  const [code = '', text = ''] = getSystemErrorMap().get(-end.errno) ?? [];
  const e: NodeJS.ErrnoException = new Error(text);
  e.code = code;
  e.syscall = end.how === 'notConnected' ? 'connect' : 'read';
  return new Error(dialErrorText(e, host, port));
}
