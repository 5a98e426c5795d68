/** The audit record of an HTTP request: what of it is said. */
import type { IncomingMessage } from 'node:http';
import { apiVersionOf, type KindInfo } from '#lib/api';
import type { UserInfo } from '#lib/client';
import type { CoreResult } from '../../core.ts';
import type { RequestInfo } from '../request-info.ts';
import type { AuditFacts } from './auditor.ts';
import { sourceIps } from './event.ts';

export interface HttpFacts {
  readonly req: IncomingMessage;
  readonly info: RequestInfo;
  readonly auditId: string;
  readonly receivedMs: number;
  readonly isLong: boolean;
}

/** `impersonated` is whom the user speaks for, if anybody. */
export function auditFacts(facts: HttpFacts, impersonated: UserInfo | undefined): AuditFacts {
  const { req, auditId, receivedMs, isLong } = facts;
  const header = (name: string): string => req.headersDistinct[name]?.join(',') ?? '';
  return {
    auditId,
    uri: req.url ?? '/',
    impersonated,
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
