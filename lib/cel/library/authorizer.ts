/**
 * `authorizer` and `authorizer.requestResource` (apiserver/pkg/cel/library/authz.go). The host answers checks; evaluation is
 * synchronous, so it must answer at once (from its caches).
 */
import { type Library, library } from '../env.ts';
import { opaque } from '../types.ts';
import { CelError, OpaqueValue, type Result } from '../values/value.ts';
import { fn1, fn2, fn3, instance, str } from './define.ts';
import { FORMATS } from './formats.ts';

const PACKAGE = 'kubernetes.authorization';
const AUTHORIZER = `${PACKAGE}.Authorizer`;
const PATH_CHECK = `${PACKAGE}.PathCheck`;
const GROUP_CHECK = `${PACKAGE}.GroupCheck`;
const RESOURCE_CHECK = `${PACKAGE}.ResourceCheck`;
const DECISION = `${PACKAGE}.Decision`;

export const AUTHORIZER_TYPE = opaque(AUTHORIZER);
export const RESOURCE_CHECK_TYPE = opaque(RESOURCE_CHECK);

export interface ResourceAttributes {
  readonly group: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  /** As written; the host parses it. */
  readonly fieldSelector: string;
  readonly labelSelector: string;
}

export type CheckSubject =
  | { readonly kind: 'requester' }
  | { readonly kind: 'serviceAccount'; readonly namespace: string; readonly name: string };

export type AuthorizationCheck = { readonly subject: CheckSubject; readonly verb: string } & (
  | { readonly kind: 'path'; readonly path: string }
  | ({ readonly kind: 'resource' } & ResourceAttributes)
);

export interface AuthorizationDecision {
  readonly allowed: boolean;
  readonly reason: string;
  /** What went wrong while deciding; empty when nothing did. */
  readonly error: string;
}

/** The host's side. */
export interface AuthorizationHost {
  check(check: AuthorizationCheck): AuthorizationDecision;
}

abstract class Receiver extends OpaqueValue {
  equals(other: OpaqueValue): boolean {
    return this === other;
  }
  override toString(): string {
    return this.typeName;
  }
}

export class AuthorizerValue extends Receiver {
  readonly typeName = AUTHORIZER;
  readonly host: AuthorizationHost;
  readonly subject: CheckSubject;
  constructor(host: AuthorizationHost, subject: CheckSubject = { kind: 'requester' }) {
    super();
    this.host = host;
    this.subject = subject;
  }
}

class PathCheck extends Receiver {
  readonly typeName = PATH_CHECK;
  readonly authorizer: AuthorizerValue;
  readonly path: string;
  constructor(authorizer: AuthorizerValue, path: string) {
    super();
    this.authorizer = authorizer;
    this.path = path;
  }
}

class GroupCheck extends Receiver {
  readonly typeName = GROUP_CHECK;
  readonly authorizer: AuthorizerValue;
  readonly group: string;
  constructor(authorizer: AuthorizerValue, group: string) {
    super();
    this.authorizer = authorizer;
    this.group = group;
  }
}

/** Also the value of `authorizer.requestResource`. */
export class ResourceCheck extends Receiver {
  readonly typeName = RESOURCE_CHECK;
  readonly authorizer: AuthorizerValue;
  readonly attributes: ResourceAttributes;
  constructor(authorizer: AuthorizerValue, attributes: ResourceAttributes) {
    super();
    this.authorizer = authorizer;
    this.attributes = attributes;
  }
  with(change: Partial<ResourceAttributes>): ResourceCheck {
    return new ResourceCheck(this.authorizer, { ...this.attributes, ...change });
  }
}

class DecisionValue extends Receiver {
  readonly typeName = DECISION;
  readonly decision: AuthorizationDecision;
  constructor(decision: AuthorizationDecision) {
    super();
    this.decision = decision;
  }
}

const NO_ATTRIBUTES = { subresource: '', namespace: '', name: '', fieldSelector: '', labelSelector: '' };

function serviceAccount(a: AuthorizerValue, namespace: string, name: string): Result {
  if (FORMATS.get('dns1123Subdomain')?.violations(name).length !== 0)
    return new CelError('Invalid service account name');
  if (FORMATS.get('dns1123Label')?.violations(namespace).length !== 0)
    return new CelError('Invalid service account namespace');
  return new AuthorizerValue(a.host, { kind: 'serviceAccount', namespace, name });
}

function setter(field: keyof typeof NO_ATTRIBUTES, id: string): readonly [ReturnType<typeof fn2>] {
  return [
    fn2(id, `${RESOURCE_CHECK}.(string) -> ${RESOURCE_CHECK}`, [instance(ResourceCheck), str], (r, value) =>
      r.with({ [field]: value }),
    ),
  ];
}

const decision = instance(DecisionValue);

export const AUTHORIZATION: Library = library(
  'kubernetes.authz',
  {
    path: [
      fn2('authorizer_path', `${AUTHORIZER}.(string) -> ${PATH_CHECK}`, [instance(AuthorizerValue), str], (a, path) =>
        path.trim() === '' ? new CelError('path must not be empty') : new PathCheck(a, path),
      ),
    ],
    group: [
      fn2(
        'authorizer_group',
        `${AUTHORIZER}.(string) -> ${GROUP_CHECK}`,
        [instance(AuthorizerValue), str],
        (a, group) => new GroupCheck(a, group),
      ),
    ],
    serviceAccount: [
      fn3(
        'authorizer_serviceaccount',
        `${AUTHORIZER}.(string, string) -> ${AUTHORIZER}`,
        [instance(AuthorizerValue), str, str],
        serviceAccount,
      ),
    ],
    resource: [
      fn2(
        'groupcheck_resource',
        `${GROUP_CHECK}.(string) -> ${RESOURCE_CHECK}`,
        [instance(GroupCheck), str],
        (g, resource) =>
          resource.trim() === ''
            ? new CelError('resource must not be empty')
            : new ResourceCheck(g.authorizer, { ...NO_ATTRIBUTES, group: g.group, resource }),
      ),
    ],
    subresource: setter('subresource', 'resourcecheck_subresource'),
    namespace: setter('namespace', 'resourcecheck_namespace'),
    name: setter('name', 'resourcecheck_name'),
    fieldSelector: setter('fieldSelector', 'authorizer_fieldselector'),
    labelSelector: setter('labelSelector', 'authorizer_labelselector'),
    check: [
      fn2('pathcheck_check', `${PATH_CHECK}.(string) -> ${DECISION}`, [instance(PathCheck), str], (p, verb) => {
        const { host, subject } = p.authorizer;
        return new DecisionValue(host.check({ kind: 'path', subject, verb, path: p.path }));
      }),
      fn2(
        'resourcecheck_check',
        `${RESOURCE_CHECK}.(string) -> ${DECISION}`,
        [instance(ResourceCheck), str],
        (r, verb) => {
          const { host, subject } = r.authorizer;
          return new DecisionValue(host.check({ kind: 'resource', subject, verb, ...r.attributes }));
        },
      ),
    ],
    errored: [fn1('decision_errored', `${DECISION}.() -> bool`, decision, (d) => d.decision.error !== '')],
    error: [fn1('decision_error', `${DECISION}.() -> string`, decision, (d) => d.decision.error)],
    allowed: [fn1('decision_allowed', `${DECISION}.() -> bool`, decision, (d) => d.decision.allowed)],
    reason: [fn1('decision_reason', `${DECISION}.() -> string`, decision, (d) => d.decision.reason)],
  },
  Object.fromEntries([AUTHORIZER, PATH_CHECK, GROUP_CHECK, RESOURCE_CHECK, DECISION].map((n) => [n, opaque(n)])),
);
