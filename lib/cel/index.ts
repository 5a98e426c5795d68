/** CEL as Kubernetes uses it: see compile.ts for the way in. */
export * from './compile.ts';
export type { SizeEstimator } from './cost/estimate.ts';
export { fixed as fixedSize, type Range, UNBOUNDED } from './cost/size.ts';
export { Env, type EnvOptions, type Library, library, type Overload, overload } from './env.ts';
export type { Bindings } from './eval/frame.ts';
export { kubernetesEnv } from './kubernetes-env.ts';
export {
  AUTHORIZER_TYPE,
  type AuthorizationCheck,
  type AuthorizationDecision,
  type AuthorizationHost,
  AuthorizerValue,
  RESOURCE_CHECK_TYPE,
  type ResourceAttributes,
  ResourceCheck,
} from './library/authorizer.ts';
export { JSON_PATCH } from './library/kubernetes.ts';
export { escapePropertyName } from './property-name.ts';
export { type Meter, Regex, RegexCache } from './regex/regex.ts';
export type { Issue } from './source.ts';
export * from './types.ts';
export { compare, equal } from './values/equality.ts';
export { fromJson, type Json, toJson } from './values/json.ts';
export { Duration, Timestamp } from './values/time.ts';
export {
  ArrayList,
  CelError,
  CelMap,
  ListValue,
  MapValue,
  ObjectValue,
  OpaqueValue,
  OptionalValue,
  type Result,
  TypeValue,
  Uint,
  Unknown,
  type Value,
} from './values/value.ts';
