/**
 * Bearer tokens of the registry: who somebody is and what he was granted, signed with a key that lives as long as the process. After
 * a restart clients are challenged again and get another one. Source: distribution docs/content/spec/auth/token.md.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Clock, Random } from '#lib/base';
import type { RepositoryRight, Right } from './rights.ts';

/** Clients take no token for shorter-lived than a minute. */
export const TOKEN_SECONDS = 300;
const KEY_BYTES = 32;
const RIGHTS: readonly string[] = ['get', 'create', 'update', 'delete', 'list'] satisfies readonly Right[];

export interface Grants {
  /** Where it was given; it is good for nothing at another door. */
  readonly door: string;
  /** undefined: nobody logged in. */
  readonly user: string | undefined;
  readonly granted: readonly RepositoryRight[];
  /** Asked for and not granted: asking again is of no use. */
  readonly refused: readonly RepositoryRight[];
}

export class RegistryTokens {
  readonly #key: Buffer;
  readonly #clock: Clock;

  constructor(o: { readonly random: Random; readonly clock: Clock }) {
    this.#key = Buffer.from(o.random.hex(KEY_BYTES), 'hex');
    this.#clock = o.clock;
  }

  issue(g: Grants): string {
    const until = this.#clock.now() + TOKEN_SECONDS * 1000;
    const body = Buffer.from(JSON.stringify({ ...g, until })).toString('base64url');
    return `berth.${body}.${this.#mac(body).toString('base64url')}`;
  }

  /** undefined for what is not a token of this process, or is too old. */
  read(token: string): Grants | undefined {
    const [mark, body = '', mac = ''] = token.split('.');
    if (mark !== 'berth') return undefined;
    const [given, right] = [Buffer.from(mac, 'base64url'), this.#mac(body)];
    if (given.length !== right.length || !timingSafeEqual(given, right)) return undefined;
    const doc: unknown = JSON.parse(Buffer.from(body, 'base64url').toString('utf8'));
    const field = (name: string): unknown =>
      typeof doc === 'object' && doc !== null ? Reflect.get(doc, name) : undefined;
    if (!(Number(field('until')) > this.#clock.now())) return undefined;
    const user = field('user');
    return {
      door: String(field('door')),
      user: typeof user === 'string' ? user : undefined,
      granted: readRights(field('granted')),
      refused: readRights(field('refused')),
    };
  }

  #mac(body: string): Buffer {
    return createHmac('sha256', this.#key).update(body).digest();
  }
}

function readRights(value: unknown): readonly RepositoryRight[] {
  if (!Array.isArray(value)) return [];
  return value.flatMap((v: unknown): RepositoryRight[] => {
    if (typeof v !== 'object' || v === null || !('right' in v) || !('repository' in v)) return [];
    const { right, repository } = v;
    return isRight(right) && typeof repository === 'string' ? [{ right, repository }] : [];
  });
}

function isRight(value: unknown): value is Right {
  return typeof value === 'string' && RIGHTS.includes(value);
}
