/** The one place where a request is refused for want of a right, in the protocol's words (401 with a challenge, 403 DENIED). */
import { registryError } from '../errors.ts';
import type { Exchange } from '../exchange.ts';
import { challenge } from './challenge.ts';
import type { Right } from './rights.ts';

const VERBS: Readonly<Record<Right, string>> = {
  get: 'pull from',
  create: 'push to',
  update: 'move tags of',
  delete: 'delete from',
  list: 'list',
};

/** Throws UNAUTHORIZED or DENIED unless the caller has `right` on the request's repository. */
export async function requireRight(x: Exchange, right: Right): Promise<void> {
  const asked = { right, repository: x.repository.name };
  const verdict = await x.caller.verdict(asked, x.ctx);
  if (verdict === 'granted') return;
  const what = `${VERBS[right]} ${asked.repository === '' ? 'the catalog' : asked.repository}`;
  if (verdict === 'denied')
    throw registryError(
      'DENIED',
      `not allowed to ${what}: it needs the verb ${right} on repositories.registry.berth.dev`,
    );
  challenge(x, asked, verdict === 'ask for more');
  throw registryError('UNAUTHORIZED', `authentication required to ${what}`);
}
