/**
 * Bootstrap tokens `<id>.<secret>`: Secrets `bootstrap-token-<id>` of type bootstrap.kubernetes.io/token in kube-system, as
 * kubeadm makes them. Source: kubernetes plugin/pkg/auth/authenticator/token/bootstrap, cluster-bootstrap/token/util.
 *
 * Berth's own join tokens are such Secrets too, but keep only a hash and are good for joining once (services/gateway): they
 * have no `token-secret` and so never authenticate here.
 */
import { timingSafeEqual } from 'node:crypto';
import { type DeepReadonly, Kinds, type Secret } from '#lib/api';
import type { Clock, Ctx } from '#lib/base';
import type { LiveObjects } from './live-objects.ts';
import { refused, type TokenAuthenticator, type TokenVerdict, UNKNOWN } from './token-authenticator.ts';

const NAMESPACE = 'kube-system';
const TYPE = 'bootstrap.kubernetes.io/token';
const GROUP = 'system:bootstrappers';
const USER_PREFIX = 'system:bootstrap:';
const TOKEN = /^([a-z0-9]{6})\.([a-z0-9]{16})$/;
const EXTRA_GROUP = /^system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]$/;
const RFC3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/;

export class BootstrapTokens implements TokenAuthenticator {
  readonly #objects: LiveObjects;
  readonly #clock: Clock;

  constructor(o: { objects: LiveObjects; clock: Clock }) {
    this.#objects = o.objects;
    this.#clock = o.clock;
  }

  /** Whatever is wrong with it, the answer is the same: nobody learns which ids exist. */
  async authenticateToken(token: string, _audiences: readonly string[], c: Ctx): Promise<TokenVerdict> {
    const [, id, key] = TOKEN.exec(token) ?? [];
    if (id === undefined || key === undefined) return UNKNOWN;
    const name = `bootstrap-token-${id}`;
    const secret = await this.#objects.find<Secret>(Kinds.secrets, { namespace: NAMESPACE, name }, c);
    if (secret === undefined || secret.type !== TYPE || secret.metadata.deletionTimestamp !== undefined) return UNKNOWN;
    const field = (of: string): string => textOf(secret, of);
    if (!isSame(field('token-secret'), key) || field('token-id') !== id) return UNKNOWN;
    if (isOver(field('expiration'), this.#clock.now())) return UNKNOWN;
    if (field('usage-bootstrap-authentication') !== 'true') return UNKNOWN;
    const extra = field('auth-extra-groups');
    const groups = extra === '' ? [] : extra.split(',');
    const bad = groups.find((g) => !EXTRA_GROUP.test(g));
    if (bad !== undefined) return refused(`invalid value for key auth-extra-groups in secret ${NAMESPACE}/${name}`);
    const all = [...new Set([GROUP, ...groups])].sort();
    return { outcome: 'authenticated', user: { name: USER_PREFIX + id, groups: all } };
  }
}

/** No expiration = none; one that cannot be read = over. */
function isOver(expiration: string, nowMs: number): boolean {
  if (expiration === '') return false;
  return !RFC3339.test(expiration) || !(Date.parse(expiration) > nowMs);
}

function textOf(secret: DeepReadonly<Secret>, field: string): string {
  const { data } = secret;
  if (data === undefined || !Object.hasOwn(data, field)) return '';
  return Buffer.from(data[field] ?? '', 'base64').toString();
}

function isSame(stored: string, given: string): boolean {
  const [a, b] = [Buffer.from(stored), Buffer.from(given)];
  return a.length === b.length && timingSafeEqual(a, b);
}
