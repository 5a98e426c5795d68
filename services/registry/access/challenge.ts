/** How a client is told to log in: a Bearer challenge with the scope that would do (RFC 6750 3; distribution docs/content/spec/auth/token.md). */
import type { Exchange } from '../exchange.ts';
import { type RepositoryRight, scopeOf } from './rights.ts';
import { TOKEN_PATH } from './token-endpoint.ts';

const SERVICE = 'berth-registry';
const HOST = /^(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/;

/** Sets the header; the caller answers 401. */
export function challenge(x: Exchange, asked: RepositoryRight | undefined, isInsufficient: boolean): void {
  const host = x.req.headers.host ?? '';
  const scheme = x.caller.door === 'outside' || x.isTls ? 'https' : 'http';
  // The realm must be an absolute address; whose Host header is none gets no realm to call.
  const realm = HOST.test(host) ? `${scheme}://${host}${TOKEN_PATH}` : TOKEN_PATH;
  const parameters = [
    `Bearer realm="${realm}"`,
    `service="${SERVICE}"`,
    ...(asked === undefined ? [] : [`scope="${scopeOf(asked)}"`]),
    ...(isInsufficient ? ['error="insufficient_scope"'] : []),
  ];
  x.res.setHeader('www-authenticate', parameters.join(','));
}
