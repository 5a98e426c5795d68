/**
 * The token endpoint: GET with Basic credentials, and POST as OAuth2's password and refresh_token grants ask. It grants what of the
 * scopes the caller may; an empty set is no error. Source: distribution docs/content/spec/auth/{token,oauth}.md.
 */
import { timeText } from '#lib/base';
import { registryError } from '../errors.ts';
import { type Exchange, readBody, replyJson } from '../exchange.ts';
import { type RepositoryRight, rightsOfScope } from './rights.ts';
import { TOKEN_SECONDS } from './tokens.ts';

export const TOKEN_PATH = '/token';
const FORM_BYTES_MAX = 64 * 1024;
const RIGHTS_MAX = 64;

export async function giveToken(x: Exchange): Promise<void> {
  await answerWith(x, x.query.getAll('scope'), undefined);
}

export async function giveOauthToken(x: Exchange): Promise<void> {
  const form = new URLSearchParams((await readBody(x.req, FORM_BYTES_MAX)).toString('utf8'));
  const secret = form.get(form.get('grant_type') === 'password' ? 'password' : 'refresh_token') ?? '';
  await answerWith(x, form.getAll('scope'), `Bearer ${secret}`);
}

/** `authorization` absent: that of the request. */
async function answerWith(x: Exchange, scopes: readonly string[], authorization: string | undefined): Promise<void> {
  const caller = authorization === undefined ? x.caller : x.callerWith(authorization);
  const grants = await caller.grantsFor(distinct(scopes), x.ctx);
  if (grants === undefined) throw registryError('UNAUTHORIZED', 'the password is not a token that the cluster knows');
  const token = x.tokens.issue(grants);
  const issued = timeText(x.clock.now());
  replyJson(
    x,
    { token, access_token: token, expires_in: TOKEN_SECONDS, issued_at: issued },
    { 'cache-control': 'no-store' },
  );
}

/** Of `a b` in one parameter as well as of several. */
function distinct(scopes: readonly string[]): readonly RepositoryRight[] {
  const all = new Map<string, RepositoryRight>();
  for (const scope of scopes.flatMap((s) => s.split(' ')))
    for (const r of rightsOfScope(scope)) all.set(`${r.right} ${r.repository}`, r);
  return [...all.values()].slice(0, RIGHTS_MAX);
}
