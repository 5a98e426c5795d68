/** Which node a user is. Source: kubernetes pkg/auth/nodeidentifier/default.go. */
import type { UserInfo } from '#lib/client';

const PREFIX = 'system:node:';

/** undefined = not a node; '' = a node that does not say which. */
export function nodeNameOf(user: UserInfo): string | undefined {
  if (!user.name.startsWith(PREFIX) || !user.groups.includes('system:nodes')) return undefined;
  return user.name.slice(PREFIX.length);
}
