/** The audit record of an HTTP request: what of it is said. */
import type { IncomingMessage } from 'node:http';
import { apiVersionOf, type KindInfo } from '#lib/api';
import type { UserInfo } from '#lib/client';
import type { CoreResult } from '../../core.ts';
import type { RequestInfo } from '../request-info.ts';
import type { AuditSubject } from './auditor.ts';
import { sourceIps } from './event.ts';

export interface HttpFacts {
  readonly req: IncomingMessage;
  readonly info: RequestInfo;
  readonly auditId: string;
  readonly receivedMs: number;
  readonly isLong: boolean;
}

/** `real` is who authenticated, `user` whom they speak for; undefined when nobody did. */
export function auditSubject(facts: HttpFacts, real: UserInfo | undefined, user: UserInfo | undefined): AuditSubject {
  const { req, info, auditId, receivedMs, isLong } = facts;
  const header = (name: string): string => req.headersDistinct[name]?.join(',') ?? '';
  return {
    auditId,
    uri: req.url ?? '/',
    info,
    user: real,
    impersonated: user === real ? undefined : user,
    sourceIps: sourceIps(header('x-forwarded-for'), header('x-real-ip'), req.socket.remoteAddress ?? ''),
    userAgent: req.headers['user-agent'] ?? '',
    receivedMs,
    isLong,
  };
}

/** The answer as an object, for those levels that have it. */
export function answeredObject(kind: KindInfo, result: CoreResult): unknown {
  switch (result.type) {
    case 'object':
      return result.object;
    case 'status':
      return result.status;
    case 'list': {
      const { resourceVersion, items } = result;
      const head = { kind: `${kind.kind}List`, apiVersion: apiVersionOf(kind), metadata: { resourceVersion } };
      return { ...head, items: items.map((i) => i.object) };
    }
  }
}
