/** What both plugins work with; made in main.ts. */
import type { InstantAuthorizer } from '../../authz/authorizer.ts';
import type { CustomVersions } from '../../custom/versions.ts';
import type { KindRegistry } from '../../kind-registry.ts';
import type { Storage } from '../../storage.ts';
import type { PolicyEnvironments } from './environment.ts';
import { Matcher } from './match.ts';
import { Params } from './params.ts';
import { Versions } from './versions.ts';

export interface PolicyDeps {
  readonly environments: PolicyEnvironments;
  readonly storage: Storage;
  readonly authorizer: InstantAuthorizer;
  readonly matcher: Matcher;
  readonly params: Params;
  readonly versions: Versions;
}

export interface PolicyParts {
  readonly environments: PolicyEnvironments;
  readonly storage: Storage;
  readonly kinds: KindRegistry;
  readonly custom: CustomVersions;
  readonly authorizer: InstantAuthorizer;
}

export function policyDeps({ environments, storage, kinds, custom, authorizer }: PolicyParts): PolicyDeps {
  const versions = new Versions({ kinds, custom });
  const matcher = new Matcher({ storage, kinds });
  return { environments, storage, authorizer, matcher, params: new Params({ storage, kinds, versions }), versions };
}
