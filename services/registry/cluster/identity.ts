/**
 * Users and rights by TokenReview and SubjectAccessReview. Answers are kept for ten seconds, so that a push of many blobs is few
 * questions; the same question asked at the same time is asked once.
 */
import { createHash } from 'node:crypto';
import type { Clock, Ctx } from '#lib/base';
import type { Identity, User } from '../access/identity.ts';
import { attributesOf, GROUP, RESOURCE, type RepositoryRight } from '../access/rights.ts';
import type { ClusterApi } from './api.ts';
import { fieldsOf, listOf, textOf } from './fields.ts';

const KEEP_MS = 10_000;
const ENTRIES_MAX = 2_000;

export class ClusterIdentity implements Identity {
  readonly #api: Pick<ClusterApi, 'call'>;
  readonly #users: Recent<User | undefined>;
  readonly #rights: Recent<boolean>;

  constructor(api: Pick<ClusterApi, 'call'>, clock: Clock) {
    this.#api = api;
    this.#users = new Recent(clock);
    this.#rights = new Recent(clock);
  }

  userOf(token: string, c: Ctx): Promise<User | undefined> {
    // The token itself is kept nowhere.
    const key = createHash('sha256').update(token).digest('base64');
    return this.#users.of(key, async () => {
      const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token } };
      const answer = await this.#api.call('POST', '/apis/authentication.k8s.io/v1/tokenreviews', body, c);
      const status = fieldsOf(fieldsOf(answer)['status']);
      return status['authenticated'] === true ? readUser(fieldsOf(status['user'])) : undefined;
    });
  }

  isAllowed(user: User, { right, repository }: RepositoryRight, c: Ctx): Promise<boolean> {
    const { namespace, name } = attributesOf(repository);
    return this.#rights.of(JSON.stringify([user, right, repository]), async () => {
      const { username, ...rest } = user;
      const resourceAttributes = { group: GROUP, resource: RESOURCE, verb: right, namespace, name };
      const body = {
        apiVersion: 'authorization.k8s.io/v1',
        kind: 'SubjectAccessReview',
        spec: { user: username, ...rest, resourceAttributes },
      };
      const answer = await this.#api.call('POST', '/apis/authorization.k8s.io/v1/subjectaccessreviews', body, c);
      return fieldsOf(fieldsOf(answer)['status'])['allowed'] === true;
    });
  }
}

function readUser(o: Readonly<Record<string, unknown>>): User {
  const texts = (value: unknown): string[] => listOf(value).filter((v) => typeof v === 'string');
  const extra = Object.entries(fieldsOf(o['extra'])).map(([k, v]) => [k, texts(v)] as const);
  return {
    username: textOf(o['username']),
    uid: textOf(o['uid']),
    groups: texts(o['groups']),
    extra: Object.fromEntries(extra),
  };
}

/** Answers of the last seconds by question; a failure is not kept. */
class Recent<T> {
  readonly #clock: Clock;
  readonly #entries = new Map<string, { readonly answer: Promise<T>; readonly untilMs: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async of(key: string, ask: () => Promise<T>): Promise<T> {
    const now = this.#clock.monotonic();
    const known = this.#entries.get(key);
    if (known !== undefined && known.untilMs > now) return await known.answer;
    this.#entries.delete(key);
    const [oldest] = this.#entries.keys();
    if (this.#entries.size >= ENTRIES_MAX && oldest !== undefined) this.#entries.delete(oldest);
    const entry = { answer: ask(), untilMs: now + KEEP_MS };
    this.#entries.set(key, entry);
    try {
      return await entry.answer;
    } catch (e) {
      if (this.#entries.get(key) === entry) this.#entries.delete(key);
      throw e;
    }
  }
}
