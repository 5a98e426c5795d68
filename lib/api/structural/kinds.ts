/**
 * The kinds that a CustomResourceDefinition makes: a row for each version, as registry.ts has them for built-in kinds, with the
 * behavior of its schema. Schemas are parsed when first needed: hundreds of definitions cost a starting server nothing.
 * Source: k8s.io/apiextensions-apiserver/pkg/apiserver/{customresource_handler,customresource_discovery_controller}.go.
 */
import { createHash } from 'node:crypto';
import { StatusError } from '#lib/base';
import type { CustomBehavior } from '../custom-behavior.ts';
import { compareVersions } from '../documents/api-services.ts';
import type { FieldError } from '../field-error.ts';
import type {
  CustomResourceDefinition,
  CustomResourceDefinitionVersion,
  CustomResourceSubresourceScale,
} from '../gen/types/apiextensions-v1.ts';
import type { DeepReadonly, KubeObject } from '../object.ts';
import type { Shape } from '../patch/shape.ts';
import { cloneJson, isObject, type JsonObject } from '../patch/value.ts';
import type { KindInfo, Subresource } from '../registry.ts';
import { type CustomColumns, customColumns } from './columns.ts';
import { applyStructuralDefaults, withoutNulls } from './defaulting.ts';
import type { DefinitionTools } from './definition/definition.ts';
import { customComponentName, customComponents, customKindOf } from './openapi.ts';
import { parseStructural, structuralForm } from './parse.ts';
import { pruneObject } from './prune.ts';
import { asResource, type Structural } from './schema.ts';
import { shapeOfStructural } from './shape.ts';
import { coerceEmbedded } from './values/embedded-metadata.ts';
import {
  type ResourceRules,
  validateCustomResource,
  validateCustomResourceStatus,
  validateCustomResourceUpdate,
} from './values/resource.ts';

/** In the order that Kubernetes' discovery gives them. */
const VERBS = ['delete', 'deletecollection', 'get', 'list', 'patch', 'create', 'update', 'watch'];
const VIEW_VERBS = ['get', 'patch', 'update'];
/** The row's type as far as the field table knows it: kind, apiVersion, metadata. */
const SCHEMA = 'meta/v1.PartialObjectMetadata';

export interface CustomKinds {
  /** In order of preference (kube-aware version order). */
  readonly served: readonly KindInfo[];
  /** The version that objects are stored in; it may not be served. */
  readonly storage: KindInfo;
  /** Served or not: objects may still lie in the store in any of them. */
  readonly all: readonly KindInfo[];
}

/** undefined: the definition has no accepted names yet, or no version is stored. It is defaulted. */
export function customKindsOf(
  crd: DeepReadonly<CustomResourceDefinition>,
  tools: DefinitionTools,
): CustomKinds | undefined {
  const names = crd.status?.acceptedNames;
  const storage = crd.spec.versions.find((v) => v.storage);
  if (names === undefined || names.kind === '' || names.plural === '' || storage === undefined) return undefined;
  const rows = new Map<string, KindInfo>();
  for (const v of crd.spec.versions) rows.set(v.name, rowOf(crd, v as CustomResourceDefinitionVersion, tools));
  const served = crd.spec.versions.filter((v) => v.served).map((v) => v.name);
  const found = rows.get(storage.name);
  if (found === undefined) return undefined;
  return {
    served: served.toSorted(compareVersions).flatMap((name) => rows.get(name) ?? []),
    storage: found,
    all: [...rows.values()],
  };
}

function rowOf(
  crd: DeepReadonly<CustomResourceDefinition>,
  v: CustomResourceDefinitionVersion,
  tools: DefinitionTools,
): KindInfo {
  const { group } = crd.spec;
  const names = crd.status?.acceptedNames ?? crd.spec.names;
  const at = { group, version: v.name };
  const subresources: Subresource[] = [];
  if (v.subresources?.status !== undefined)
    subresources.push({ name: 'status', kind: names.kind, ...at, verbs: VIEW_VERBS });
  if (v.subresources?.scale !== undefined)
    subresources.push({ name: 'scale', kind: 'Scale', group: 'autoscaling', version: 'v1', verbs: VIEW_VERBS });
  return {
    ...at,
    kind: names.kind,
    resource: names.plural,
    namespaced: crd.spec.scope === 'Namespaced',
    singular: names.singular ?? '',
    shortNames: names.shortNames ?? [],
    categories: names.categories ?? [],
    verbs: VERBS,
    subresources,
    schema: SCHEMA,
    hasStatus: v.subresources?.status !== undefined,
    hasGeneration: true,
    custom: new VersionBehavior(crd, v, tools),
  };
}

class VersionBehavior implements CustomBehavior {
  readonly listKind: string;
  readonly selectable: readonly string[];
  readonly scale: CustomResourceSubresourceScale | undefined;
  readonly deprecation: string | undefined;
  readonly #crd: DeepReadonly<CustomResourceDefinition>;
  readonly #version: CustomResourceDefinitionVersion;
  readonly #tools: DefinitionTools;
  #rules: ResourceRules | undefined;
  #shape: Shape | undefined;
  #columns: CustomColumns | undefined;
  #digest: string | undefined;

  constructor(crd: DeepReadonly<CustomResourceDefinition>, v: CustomResourceDefinitionVersion, tools: DefinitionTools) {
    this.#crd = crd;
    this.#version = v;
    this.#tools = tools;
    const names = crd.status?.acceptedNames ?? crd.spec.names;
    this.listKind = names.listKind ?? `${names.kind}List`;
    this.selectable = (v.selectableFields ?? []).map((f) => f.jsonPath.replace(/^\./, ''));
    this.scale = v.subresources?.scale;
    this.deprecation = deprecationOf(crd, v);
  }

  get shape(): Shape {
    this.#shape ??= shapeOfStructural(this.#schema);
    return this.#shape;
  }

  get columns(): CustomColumns {
    this.#columns ??= customColumns(this.#version.additionalPrinterColumns);
    return this.#columns;
  }

  decode(value: unknown): { object: KubeObject; unknown: string[] } {
    const { kind } = this.#crd.spec.names;
    const fail = (why: string): StatusError =>
      new StatusError(
        'BadRequest',
        `${kind} in version "${this.#version.name}" cannot be handled as a ${kind}: ${why}`,
      );
    if (!isObject(value)) throw fail('the body is not an object');
    const coerced = coerceEmbedded(asResource(this.#schema), value, { path: '', dropsMalformed: false });
    if (coerced.error !== undefined) throw fail(`${coerced.error.field}: ${coerced.error.detail ?? 'invalid'}`);
    const pruned = this.#keepsUnknown ? { value: coerced.value, paths: [] } : pruneObject(this.#schema, coerced.value);
    // Coerced as a resource and pruned: an object with metadata of the right types. The name may be missing; so it may of others.
    const object = cloneJson(pruned.value) as KubeObject;
    object.metadata ??= { name: '' };
    const unknown = [...coerced.unknown, ...pruned.paths].map((path) => `unknown field "${path}"`);
    return { object, unknown };
  }

  fromStorage<T extends object>(object: T): T {
    const pruned = this.#keepsUnknown ? object : pruneObject(this.#schema, object).value;
    return applyStructuralDefaults(this.#schema, pruned) as T;
  }

  fromOtherVersion<T extends object>(object: T): T {
    return this.#keepsUnknown ? object : (withoutNulls(pruneObject(this.#schema, object).value, this.#schema) as T);
  }

  applyDefaults(object: KubeObject): void {
    const target = object as unknown as JsonObject;
    const next = applyStructuralDefaults(this.#schema, target) as JsonObject;
    if (next === target) return;
    for (const key of Object.keys(target)) if (!Object.hasOwn(next, key)) delete target[key];
    Object.assign(target, next);
  }

  validateCreate(object: KubeObject): FieldError[] {
    return validateCustomResource(this.#validation, object as unknown as JsonObject);
  }

  validateUpdate(next: KubeObject, previous: KubeObject, subresource?: string): FieldError[] {
    const validate = subresource === 'status' ? validateCustomResourceStatus : validateCustomResourceUpdate;
    return validate(this.#validation, next as unknown as JsonObject, previous as unknown as JsonObject);
  }

  get digest(): string {
    if (this.#digest !== undefined) return this.#digest;
    const { preserveUnknownFields, names } = this.#crd.spec;
    const text = JSON.stringify({ preserveUnknownFields, names, version: this.#version });
    this.#digest = createHash('sha256').update(text).digest('base64');
    return this.#digest;
  }

  get componentName(): string {
    return customComponentName(this.#crd.spec.group, this.#version.name, this.#crd.spec.names.kind);
  }

  get listComponentName(): string {
    return customComponentName(this.#crd.spec.group, this.#version.name, this.listKind);
  }

  openApi(version: 'v2' | 'v3'): JsonObject {
    const kind = customKindOf(this.#crd as CustomResourceDefinition, this.#version.name);
    if (kind === undefined) throw new StatusError('Internal', 'a version that its definition does not have');
    return customComponents(kind, this.#keepsUnknown ? undefined : this.#schema, version);
  }

  /** spec.preserveUnknownFields, of a definition from before apiextensions.k8s.io/v1. */
  get #keepsUnknown(): boolean {
    return this.#crd.spec.preserveUnknownFields === true;
  }

  get #schema(): Structural {
    return this.#validation.schema;
  }

  get #validation(): ResourceRules {
    this.#rules ??= {
      schema: this.#parsed(),
      scale: this.scale,
      validateRules: this.#tools.validateRules,
    };
    return this.#rules;
  }

  /** A schema that is not structural was stored before today's rules: its objects are taken as they are. */
  #parsed(): Structural {
    const given = this.#version.schema?.openAPIV3Schema ?? OPEN;
    const { schema } = parseStructural(given, '');
    const open = schema ?? structuralForm(OPEN);
    if (open === undefined) throw new StatusError('Internal', 'the open schema is not structural');
    return open;
  }
}

/** The better version it names is the most preferred of those that are. */
function deprecationOf(
  crd: DeepReadonly<CustomResourceDefinition>,
  v: CustomResourceDefinitionVersion,
): string | undefined {
  if (v.deprecated !== true) return undefined;
  if (v.deprecationWarning !== undefined) return v.deprecationWarning;
  const { group, names, versions } = crd.spec;
  const [better] = versions
    .filter((o) => o.served && o.deprecated !== true && compareVersions(o.name, v.name) < 0)
    .map((o) => o.name)
    .toSorted(compareVersions);
  const use = better === undefined ? '' : `; use ${group}/${better} ${names.kind}`;
  return `${group}/${v.name} ${names.kind} is deprecated${use}`;
}

const OPEN = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } as const;
