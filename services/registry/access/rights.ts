/**
 * Rights as the cluster's own authorization knows them, verbs on the virtual resource `repositories` (group registry.berth.dev), and as
 * the protocol's scopes name them (distribution docs/content/spec/auth/scope.md). `team/app` is the repository `app` of namespace
 * `team`, so that a Role there says who may use it; a name of one component is cluster-scoped.
 */
import { isRepositoryName } from '#lib/oci';

export const GROUP = 'registry.berth.dev';
export const RESOURCE = 'repositories';

/** get: pull. create: push what is new. update: move a tag. list: the catalog. */
export type Right = 'get' | 'create' | 'update' | 'delete' | 'list';

export interface RepositoryRight {
  readonly right: Right;
  /** '' = the registry as a whole. */
  readonly repository: string;
}

const RIGHTS_OF: Readonly<Record<string, readonly Right[]>> = {
  pull: ['get'],
  push: ['create', 'update'],
  delete: ['delete'],
  '*': ['get', 'create', 'update', 'delete'],
};

const ACTION_OF: Readonly<Record<Right, string>> = {
  get: 'pull',
  create: 'push',
  update: 'push',
  delete: 'delete',
  list: '*',
};

/** The namespace and name that the cluster is asked about. */
export function attributesOf(repository: string): { readonly namespace: string; readonly name: string } {
  const slash = repository.indexOf('/');
  return { namespace: repository.slice(0, Math.max(slash, 0)), name: repository.slice(slash + 1) };
}

/** `repository:a/b:pull,push` or `registry:catalog:*`; what is not known asks for nothing. */
export function rightsOfScope(scope: string): readonly RepositoryRight[] {
  const m = /^([a-z]+)(?:\([a-z]*\))?:(.+):([a-z*,]*)$/.exec(scope);
  const [, type, name = '', actions = ''] = m ?? [];
  if (type === 'registry' && name === 'catalog') return [{ right: 'list', repository: '' }];
  if (type !== 'repository' || !isRepositoryName(name)) return [];
  return actions.split(',').flatMap((a) => (RIGHTS_OF[a] ?? []).map((right) => ({ right, repository: name })));
}

export function scopeOf({ right, repository }: RepositoryRight): string {
  if (repository === '') return 'registry:catalog:*';
  return `repository:${repository}:${right === 'create' || right === 'update' ? 'pull,push' : ACTION_OF[right]}`;
}
