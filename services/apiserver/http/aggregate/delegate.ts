/** A part of the API with routes of its own, behind the front's authentication, fairness, audit and authorization. */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Ctx } from '#lib/base';
import type { UserInfo } from '#lib/client';
import type { RequestInfo } from '../request-info.ts';
import type { Answer } from '../respond.ts';

export interface DelegatedCall {
  readonly req: IncomingMessage;
  readonly answer: Answer;
  readonly info: RequestInfo;
  readonly query: URLSearchParams;
  readonly user: UserInfo;
}

export interface DelegatedUpgrade {
  readonly req: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
  readonly user: UserInfo;
}

export interface DelegatedApi {
  serve(call: DelegatedCall, c: Ctx): Promise<void>;
  /** Absent = an offer to upgrade is refused. */
  upgrade?(call: DelegatedUpgrade, c: Ctx): Promise<void>;
}
