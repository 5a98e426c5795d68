/** Who may use the registry is the cluster's to say: this is what the registry asks it (services/registry/cluster/). */
import type { Ctx } from '#lib/base';
import type { RepositoryRight } from './rights.ts';

export interface User {
  readonly username: string;
  readonly uid: string;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

export interface Identity {
  /** undefined when the cluster does not know the token. Unavailable when the cluster does not answer. */
  userOf(token: string, c: Ctx): Promise<User | undefined>;
  isAllowed(user: User, right: RepositoryRight, c: Ctx): Promise<boolean>;
}
