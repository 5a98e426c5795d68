/**
 * The variables of one request as CEL sees them.
 * Source: k8s.io/apiserver/pkg/admission/plugin/cel/condition.go (CreateAdmissionRequest, CreateNamespaceObject).
 */
import type { DeepReadonly, KindInfo, KubeObject } from '#lib/api';
import { AuthorizerValue, type Bindings, DYN, fromJson, ResourceCheck, type Value } from '#lib/cel';
import type { InstantAuthorizer } from '../../authz/authorizer.ts';
import type { AdmissionRequest } from '../chain.ts';
import { RequestAuthorization } from './authorization.ts';
import { NAMESPACE_TYPE, REQUEST_TYPE } from './environment.ts';
import { namespaceOf } from './match.ts';
import type { Param } from './params.ts';

export interface RequestFacts {
  readonly request: AdmissionRequest;
  /** As which the object is seen. */
  readonly kind: KindInfo;
  /** In the version of `kind`. */
  readonly object: DeepReadonly<KubeObject> | undefined;
  readonly previous: DeepReadonly<KubeObject> | undefined;
  readonly namespace: DeepReadonly<KubeObject> | undefined;
}

/** All but `params`. Objects are read lazily: made anew when one has changed. */
export function bindingsOf(facts: RequestFacts, authorization: RequestAuthorization): Bindings {
  const { request, kind } = facts;
  const authorizer = new AuthorizerValue(authorization);
  const attributes = {
    group: request.kind.group,
    resource: request.kind.resource,
    subresource: request.subresource,
    namespace: namespaceOf(request),
    name: request.name,
    fieldSelector: '',
    labelSelector: '',
  };
  return {
    object: objectValue(facts.object),
    oldObject: objectValue(facts.previous),
    request: fromJson(requestJson(request, kind), REQUEST_TYPE),
    namespaceObject: facts.namespace === undefined ? null : fromJson(facts.namespace, NAMESPACE_TYPE),
    authorizer,
    'authorizer.requestResource': new ResourceCheck(authorizer, attributes),
  };
}

export function withParams(bindings: Bindings, param: Param): Bindings {
  return { ...bindings, params: objectValue(param) };
}

export function authorizationOf(request: AdmissionRequest, authorizer: InstantAuthorizer): RequestAuthorization {
  return new RequestAuthorization(request.user, authorizer);
}

function objectValue(object: DeepReadonly<KubeObject> | undefined): Value {
  return object === undefined ? null : fromJson(object, DYN);
}

function requestJson(request: AdmissionRequest, kind: KindInfo): object {
  const { subresource, name, operation, user, dryRun } = request;
  const namespace = namespaceOf(request);
  const sub = (field: string) => (subresource === '' ? {} : { [field]: subresource });
  return {
    kind: kindJson(kind, subresource),
    resource: resourceJson(kind),
    ...sub('subResource'),
    requestKind: kindJson(request.kind, subresource),
    requestResource: resourceJson(request.kind),
    ...sub('requestSubResource'),
    ...(name === '' ? {} : { name }),
    ...(namespace === '' ? {} : { namespace }),
    operation,
    userInfo: {
      ...(user.name === '' ? {} : { username: user.name }),
      ...(user.uid === undefined || user.uid === '' ? {} : { uid: user.uid }),
      ...(user.groups.length === 0 ? {} : { groups: user.groups }),
      ...(user.extra === undefined || Object.keys(user.extra).length === 0 ? {} : { extra: user.extra }),
    },
    dryRun,
  };
}

function kindJson(kind: KindInfo, subresource: string): object {
  const { group, version, kind: name } = kind.subresources.find((s) => s.name === subresource) ?? kind;
  return { group, version, kind: name };
}

function resourceJson({ group, version, resource }: KindInfo): object {
  return { group, version, resource };
}
