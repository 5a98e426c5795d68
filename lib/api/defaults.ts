/**
 * Kubernetes' defaulting: first what a `+default` marker of the field table says, then the hand-written functions of
 * kinds/*-defaults.ts, for every value of their type wherever it is nested (a pod's containers, a deployment's template, ...).
 * Idempotent: defaults of a defaulted object change nothing.
 * Source: pkg/apis/*\/v1/defaults.go and zz_generated.defaults.go.
 */

import { CLUSTER_DEFAULTS } from './kinds/cluster-defaults.ts';
import { CORE_DEFAULTS } from './kinds/core-defaults.ts';
import { POD_DEFAULTS } from './kinds/pod-defaults.ts';
import { BATCH_DEFAULTS, WORKLOAD_DEFAULTS } from './kinds/workload-defaults.ts';
import type { KindRef, KubeObject } from './object.ts';
import { kindInfo } from './registry.ts';
import { type TypeName, typeOf } from './type-table.ts';
import { type JsonObject, type Visit, Visitor } from './visit.ts';

/** A memo of constants: the compiled walk over types. */
const COMPILED: { visitor?: Visitor } = {};

/** Fills what Kubernetes' defaulting fills, in place. */
export function applyDefaults(kind: KindRef, object: KubeObject): void {
  const { custom, schema } = kindInfo(kind);
  if (custom !== undefined) custom.applyDefaults(object);
  else applyTypeDefaults(schema, object);
}

/** The same for a body that is no resource: Scale, TokenRequest, ... */
export function applyTypeDefaults(name: TypeName, object: object): void {
  COMPILED.visitor ??= new Visitor(defaultsOf, { keepsPaths: false });
  COMPILED.visitor.run(name, object as JsonObject);
}

function defaultsOf(name: TypeName): Visit | undefined {
  const marked: [string, unknown][] = [];
  for (const f of typeOf(name).fields) {
    const isZero =
      f.default === undefined || (!f.pointer && (f.default === '' || f.default === 0 || f.default === false));
    if (!isZero) marked.push([f.name, f.default]);
  }
  const written =
    POD_DEFAULTS[name] ??
    CORE_DEFAULTS[name] ??
    WORKLOAD_DEFAULTS[name] ??
    BATCH_DEFAULTS[name] ??
    CLUSTER_DEFAULTS[name];
  if (marked.length === 0) return written;
  return (value, path) => {
    for (const [field, to] of marked) if (value[field] === undefined || value[field] === null) value[field] = to;
    written?.(value, path);
  };
}
