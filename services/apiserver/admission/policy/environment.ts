/**
 * What expressions of policies and match conditions may name, and their compilation: `object`, `oldObject`, `request`,
 * `namespaceObject`, `params`, `authorizer` and the variables that come before; for mutations the types `Object…` and `JSONPatch`.
 * Source: k8s.io/apiserver/pkg/admission/plugin/cel/{compile,composition}.go, pkg/cel/mutation.
 */
import {
  AUTHORIZER_TYPE,
  BOOL,
  compile,
  DYN,
  type Env,
  formatType,
  INT,
  JSON_PATCH,
  kubernetesEnv,
  listOf,
  mapOf,
  NULL,
  type ObjectField,
  type ObjectType,
  objectType,
  type Program,
  RESOURCE_CHECK_TYPE,
  runtimeTypeName,
  STRING,
  sameType,
  TIMESTAMP,
  type Type,
} from '#lib/cel';

export type Compiled = { readonly program: Program } | { readonly error: string };

const TEXTS = listOf(STRING);
const GROUP_VERSION_KIND = objectType('kubernetes.GroupVersionKind', { group: STRING, version: STRING, kind: STRING });
const GROUP_VERSION_RESOURCE = objectType('kubernetes.GroupVersionResource', {
  group: STRING,
  version: STRING,
  resource: STRING,
});
const USER_INFO = objectType('kubernetes.UserInfo', {
  username: STRING,
  uid: STRING,
  groups: TEXTS,
  extra: mapOf(STRING, TEXTS),
});

export const REQUEST_TYPE: ObjectType = objectType('kubernetes.AdmissionRequest', {
  kind: GROUP_VERSION_KIND,
  resource: GROUP_VERSION_RESOURCE,
  subResource: STRING,
  requestKind: GROUP_VERSION_KIND,
  requestResource: GROUP_VERSION_RESOURCE,
  requestSubResource: STRING,
  name: STRING,
  namespace: STRING,
  operation: STRING,
  userInfo: USER_INFO,
  dryRun: BOOL,
  options: DYN,
});

/** Owners and managed fields are left out, as Kubernetes does. */
export const NAMESPACE_TYPE: ObjectType = objectType('kubernetes.Namespace', {
  metadata: objectType('kubernetes.NamespaceMetadata', {
    name: STRING,
    generateName: STRING,
    namespace: STRING,
    labels: mapOf(STRING, STRING),
    annotations: mapOf(STRING, STRING),
    UID: STRING,
    creationTimestamp: TIMESTAMP,
    deletionGracePeriodSeconds: INT,
    deletionTimestamp: TIMESTAMP,
    generation: INT,
    resourceVersion: STRING,
    finalizers: TEXTS,
  }),
  spec: objectType('kubernetes.NamespaceSpec', { finalizers: TEXTS }),
  status: objectType('kubernetes.NamespaceStatus', {
    conditions: listOf(
      objectType('kubernetes.NamespaceCondition', {
        status: STRING,
        type: STRING,
        lastTransitionTime: TIMESTAMP,
        message: STRING,
        reason: STRING,
      }),
    ),
    phase: STRING,
  }),
});

export const PATCH_OPERATION: ObjectType = objectType('JSONPatch', {
  op: STRING,
  path: STRING,
  from: STRING,
  value: DYN,
});
export const PATCH_OBJECT = 'Object';

/** Has every field, of any type: what it is checked against is the kind of the object, when there is one. */
class OpenFields extends Map<string, ObjectField> {
  override get(_name: string): ObjectField {
    return { type: DYN };
  }
  override has(_name: string): boolean {
    return true;
  }
}

function patchType(name: string): ObjectType | undefined {
  if (name === PATCH_OPERATION.name) return PATCH_OPERATION;
  if (name !== PATCH_OBJECT && !name.startsWith(`${PATCH_OBJECT}.`)) return undefined;
  return { kind: 'object', name, fields: new OpenFields() };
}

export const OBJECT_TYPE: ObjectType = { kind: 'object', name: PATCH_OBJECT, fields: new OpenFields() };

/** Types for type checking; absent = dyn. */
export interface KnownTypes {
  readonly object?: Type | undefined;
  readonly params?: Type | undefined;
}

/** The environments without variables, made on first use. One for a process. */
export class PolicyEnvironments {
  #base: Env | undefined;

  of(hasParams: boolean, types: KnownTypes = {}): Env {
    this.#base ??= kubernetesEnv().extend({
      variables: { request: REQUEST_TYPE, namespaceObject: NAMESPACE_TYPE, oldObject: DYN, object: DYN },
      objectTypes: [REQUEST_TYPE, NAMESPACE_TYPE],
    });
    const { object = DYN, params = DYN } = types;
    return this.#base.extend({ variables: { object, oldObject: object, ...(hasParams ? { params } : {}) } });
  }
}

export interface CompileWish {
  /** One of these, exactly; absent: anything. */
  readonly results?: readonly Type[];
  readonly hasAuthorizer: boolean;
  readonly isMutation?: boolean;
}

export interface CompilerOptions {
  readonly hasParams: boolean;
  /** False: match conditions, which are asked before there are variables. */
  readonly hasVariables?: boolean;
  readonly types?: KnownTypes;
}

/** Compiles the expressions of one policy in order: variables are known to what comes after them. */
export class PolicyCompiler {
  readonly #plain: Env;
  readonly #authorized: Env;
  #patching: Env | undefined;
  readonly #fields = new Map<string, ObjectField>();

  constructor(environments: PolicyEnvironments, o: CompilerOptions) {
    const variables: ObjectType = { kind: 'object', name: 'kubernetes.variables', fields: this.#fields };
    const env = environments.of(o.hasParams, o.types);
    this.#plain = o.hasVariables === false ? env : env.extend({ variables: { variables }, objectTypes: [variables] });
    this.#authorized = this.#plain.extend({
      variables: { authorizer: AUTHORIZER_TYPE, 'authorizer.requestResource': RESOURCE_CHECK_TYPE },
    });
  }

  variable(name: string, expression: string): Compiled {
    const compiled = this.compile(expression, { hasAuthorizer: true });
    this.#fields.set(name, { type: 'program' in compiled ? variableType(compiled.program.resultType) : DYN });
    return compiled;
  }

  compile(expression: string, { results, hasAuthorizer, isMutation = false }: CompileWish): Compiled {
    const compiled = compile(expression, this.#env(hasAuthorizer, isMutation));
    if ('errors' in compiled) return { error: `compilation failed: ${compiled.errors.text}` };
    const { resultType } = compiled.program;
    if (results === undefined || results.some((t) => sameType(t, resultType))) return { program: compiled.program };
    const wanted = results.map(typeText);
    const what = wanted.length === 1 ? wanted[0] : `one of [${wanted.join(' ')}]`;
    return { error: `must evaluate to ${what} but got ${typeText(resultType)}` };
  }

  /** What is wrong with an expression, in cel-go's form and whatever it gives; undefined: nothing. */
  issues(expression: string): string | undefined {
    const compiled = compile(expression, this.#authorized);
    return 'errors' in compiled ? compiled.errors.text : undefined;
  }

  #env(hasAuthorizer: boolean, isMutation: boolean): Env {
    if (!isMutation) return hasAuthorizer ? this.#authorized : this.#plain;
    this.#patching ??= this.#authorized.extend({ resolveType: patchType, libraries: [JSON_PATCH] });
    return this.#patching;
  }
}

export const VALIDATION_RESULT: readonly Type[] = [BOOL];
export const MESSAGE_RESULT: readonly Type[] = [STRING];
export const AUDIT_RESULT: readonly Type[] = [STRING, NULL];
export const APPLY_RESULT: readonly Type[] = [OBJECT_TYPE];
export const PATCH_RESULT: readonly Type[] = [listOf(PATCH_OPERATION)];

/** Objects and values of libraries are dyn to the expressions after. Source: composition.go convertCelTypeToDeclType. */
function variableType(t: Type): Type {
  switch (t.kind) {
    case 'list':
      return listOf(variableType(t.element));
    case 'map':
      return mapOf(variableType(t.key), variableType(t.value));
    case 'object':
    case 'opaque':
    case 'type':
    case 'param':
    case 'wrapper':
      return DYN;
    default:
      return t;
  }
}

/** As cel-go's Type.String. */
function typeText(t: Type): string {
  if (t.kind === 'list') return `list(${typeText(t.element)})`;
  if (t.kind === 'map') return `map(${typeText(t.key)}, ${typeText(t.value)})`;
  return t.kind === 'null' || t.kind === 'timestamp' || t.kind === 'duration' ? runtimeTypeName(t) : formatType(t);
}
