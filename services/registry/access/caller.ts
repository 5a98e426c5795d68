/**
 * Who a request comes from and what he may do. Three doors (ADR 0026): a machine's own loopback and the nodes, which may pull and by
 * default push without login; whoever comes from outside, who must log in; the administrator's socket.
 *
 * Who logs in gives a token of the cluster as the password (Basic), or comes with a registry token that he got for one
 * (token-endpoint.ts), or with the cluster's token itself as a bearer. What nobody needs to log in for is done whoever asks, without a
 * question to the cluster: the nodes pull while the API is down.
 */
import type { Ctx } from '#lib/base';
import type { RegistrySettings } from '../settings.ts';
import type { Identity, User } from './identity.ts';
import type { RepositoryRight, Right } from './rights.ts';
import type { Grants, RegistryTokens } from './tokens.ts';

export type Door = 'machine' | 'outside' | 'admin';

export type Verdict = 'granted' | 'log in' | 'ask for more' | 'denied';

type Credentials =
  | { readonly type: 'none' }
  | { readonly type: 'wrong' }
  | { readonly type: 'user'; readonly user: User }
  | { readonly type: 'grants'; readonly grants: Grants };

export interface CallerOptions {
  readonly door: Door;
  readonly settings: RegistrySettings;
  readonly identity: Identity | undefined;
  readonly tokens: RegistryTokens;
  readonly authorization: string | undefined;
}

export class Caller {
  readonly #o: CallerOptions;
  #credentials: Promise<Credentials> | undefined;

  constructor(o: CallerOptions) {
    this.#o = o;
  }

  get door(): Door {
    return this.#o.door;
  }

  /** Everything may be done without login: there is nothing to challenge. */
  get isTrusted(): boolean {
    return rightsWithoutLogin(this.#o.door, this.#o.settings).has('create');
  }

  async may(asked: RepositoryRight, c: Ctx): Promise<boolean> {
    return (await this.verdict(asked, c)) === 'granted';
  }

  async verdict(asked: RepositoryRight, c: Ctx): Promise<Verdict> {
    if (rightsWithoutLogin(this.#o.door, this.#o.settings).has(asked.right)) return 'granted';
    const known = await this.#known(c);
    switch (known.type) {
      case 'none':
      case 'wrong':
        return 'log in';
      case 'grants':
        if (includes(known.grants.granted, asked)) return 'granted';
        return known.grants.user !== undefined && includes(known.grants.refused, asked) ? 'denied' : 'ask for more';
      case 'user':
        return (await this.#o.identity?.isAllowed(known.user, asked, c)) === true ? 'granted' : 'denied';
    }
  }

  /** Whether the credentials that came, if any did, are right. */
  async isWelcome(c: Ctx): Promise<boolean> {
    const { type } = await this.#known(c);
    return type === 'none' ? this.isTrusted : type !== 'wrong';
  }

  /** What of `asked` a token shall grant; undefined when the credentials that came are wrong. */
  async grantsFor(asked: readonly RepositoryRight[], c: Ctx): Promise<Grants | undefined> {
    const known = await this.#known(c);
    if (known.type === 'wrong' || known.type === 'grants') return undefined;
    const granted: RepositoryRight[] = [];
    const refused: RepositoryRight[] = [];
    for (const right of asked) (await this.may(right, c)) ? granted.push(right) : refused.push(right);
    return { door: this.#o.door, user: known.type === 'user' ? known.user.username : undefined, granted, refused };
  }

  #known(c: Ctx): Promise<Credentials> {
    this.#credentials ??= this.#read(c);
    return this.#credentials;
  }

  async #read(c: Ctx): Promise<Credentials> {
    const { authorization, tokens, identity } = this.#o;
    if (authorization === undefined) return { type: 'none' };
    const [, scheme = '', value = ''] = /^(basic|bearer) +(\S+)$/i.exec(authorization.trim()) ?? [];
    const isBasic = scheme.toLowerCase() === 'basic';
    const grants = isBasic ? undefined : tokens.read(value);
    if (grants !== undefined) return grants.door === this.#o.door ? { type: 'grants', grants } : { type: 'wrong' };
    const token = isBasic ? passwordOf(value) : value;
    const user = token === '' ? undefined : await identity?.userOf(token, c);
    return user === undefined ? { type: 'wrong' } : { type: 'user', user };
  }
}

const ALL: ReadonlySet<Right> = new Set<Right>(['get', 'create', 'update', 'delete', 'list']);
const READ: ReadonlySet<Right> = new Set<Right>(['get', 'list']);
const PULL: ReadonlySet<Right> = new Set<Right>(['get']);
const NONE: ReadonlySet<Right> = new Set<Right>();

function rightsWithoutLogin(door: Door, s: RegistrySettings): ReadonlySet<Right> {
  switch (door) {
    case 'admin':
      return ALL;
    case 'machine':
      return s.anonymous === 'push' ? ALL : READ;
    case 'outside':
      return s.publicRead ? PULL : NONE;
  }
}

function includes(all: readonly RepositoryRight[], one: RepositoryRight): boolean {
  return all.some((r) => r.right === one.right && r.repository === one.repository);
}

/** The user's name before the colon means nothing: the token says who it is. */
function passwordOf(base64: string): string {
  const text = Buffer.from(base64, 'base64').toString('utf8');
  return text.slice(text.indexOf(':') + 1);
}
