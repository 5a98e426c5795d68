/**
 * What OpenAPI documents and `kubectl explain` say about types and fields, in our own words.
 *
 * Idea: the texts of a package are functions that make them, called when a document needs that package: until someone asks
 * for a document they are not compiled, and afterwards nothing keeps them but the document. A field of an embedded struct is
 * described at that struct; what kinds, lists and conditions have in common is described here.
 */
import { type TypeName, typeOf } from '../../type-table.ts';
import { authentication, authorization, certificates, rbac } from './access.ts';
import { admission } from './admission.ts';
import { autoscalingV1, autoscalingV2 } from './autoscaling.ts';
import { coordination, events, flowcontrol, nodeGroup, scheduling } from './cluster.ts';
import { container } from './container.ts';
import { core } from './core.ts';
import { devices } from './devices.ts';
import { apiextensions, apiregistration } from './extensions.ts';
import { meta } from './meta.ts';
import { discovery, networking } from './networking.ts';
import { node } from './node.ts';
import { metaOptions, metrics, podOptions } from './options.ts';
import { pod } from './pod.ts';
import { podStatus } from './pod-status.ts';
import { claims, storage } from './storage.ts';
import type { FieldDescriptions, TypeDescriptions } from './types.ts';
import { volumes } from './volumes.ts';
import { apps, batch, policy } from './workloads.ts';

export interface Descriptions {
  ofType(name: TypeName): string | undefined;
  /** Of a field by its JSON name, embedded structs included. */
  ofField(name: TypeName, field: string): string | undefined;
}

/** The texts by package. */
export const DESCRIBED: Readonly<Record<string, readonly (() => TypeDescriptions)[]>> = {
  'admissionregistration/v1': [admission],
  'apiextensions/v1': [apiextensions],
  'apiregistration/v1': [apiregistration],
  'apps/v1': [apps],
  'authentication/v1': [authentication],
  'authorization/v1': [authorization],
  'autoscaling/v1': [autoscalingV1],
  'autoscaling/v2': [autoscalingV2],
  'batch/v1': [batch],
  'certificates/v1': [certificates],
  'coordination/v1': [coordination],
  'core/v1': [core, pod, container, volumes, podStatus, node, claims, podOptions],
  'discovery/v1': [discovery],
  'events/v1': [events],
  'flowcontrol/v1': [flowcontrol],
  'meta/v1': [meta, metaOptions],
  'metrics/v1beta1': [metrics],
  'networking/v1': [networking],
  'node/v1': [nodeGroup],
  'policy/v1': [policy],
  'rbac/v1': [rbac],
  'resource/v1': [devices],
  'scheduling/v1': [scheduling],
  'storage/v1': [storage],
};

/** Fields of every type that is a kind (has TypeMeta), where the type itself says nothing else. */
const KIND: FieldDescriptions = {
  metadata: 'Name, labels, owners and the other standard facts of the object.',
  spec: 'What is wished for.',
  status: 'What was last observed. Written by the system; read-only for users.',
};
const LIST: FieldDescriptions = {
  metadata: 'Where the list stands: its resourceVersion, and how to get the next page.',
  items: 'The objects.',
};
const CONDITION: FieldDescriptions = {
  type: 'Name of the aspect.',
  status: 'Whether it holds: `True`, `False` or `Unknown`.',
  observedGeneration: 'Value of `metadata.generation` that this was found for.',
  lastTransitionTime: 'When `status` last changed.',
  reason: 'Why, in one CamelCase word for programs.',
  message: 'Why, in words for people.',
};

/** The descriptions; keep the answer only as long as a document is being made. */
export function loadDescriptions(): Descriptions {
  const packages = new Map<string, ReadonlyMap<string, FieldDescriptions>>();
  const ofPackage = (name: string): ReadonlyMap<string, FieldDescriptions> => {
    const known = packages.get(name) ?? new Map((DESCRIBED[name] ?? []).flatMap((part) => Object.entries(part())));
    packages.set(name, known);
    return known;
  };
  const textsOf = (name: TypeName): FieldDescriptions | undefined => {
    const dot = name.lastIndexOf('.');
    return ofPackage(name.slice(0, dot)).get(name.slice(dot + 1));
  };
  const ofField = (name: TypeName, field: string): string | undefined => {
    const own = ownText(textsOf(name), field);
    if (own !== undefined) return own;
    for (const inner of typeOf(name).inlined) {
      if (!typeOf(inner.type).byName.has(field)) continue;
      const inherited = ofField(inner.type, field);
      if (inherited !== undefined) return inherited;
    }
    return ownText(shared(name), field);
  };
  return { ofType: (name) => textsOf(name)?.[''] ?? listText(name), ofField };
}

function ownText(texts: FieldDescriptions | undefined, field: string): string | undefined {
  return texts !== undefined && Object.hasOwn(texts, field) ? texts[field] : undefined;
}

function shared(name: TypeName): FieldDescriptions | undefined {
  if (name.endsWith('Condition')) return CONDITION;
  if (!isKind(name)) return undefined;
  return listedKind(name) === undefined ? KIND : LIST;
}

function isKind(name: TypeName): boolean {
  return typeOf(name).inlined.some((i) => i.type === 'meta/v1.TypeMeta');
}

function listText(name: TypeName): string | undefined {
  const kind = listedKind(name);
  return kind === undefined ? undefined : `A list of objects of kind ${kind}.`;
}

/** `Pod` of core/v1.PodList; undefined where the type is no list of objects. */
function listedKind(name: TypeName): string | undefined {
  const kind = name.slice(name.lastIndexOf('.') + 1);
  return kind.endsWith('List') && isKind(name) && typeOf(name).byName.has('items') ? kind.slice(0, -4) : undefined;
}
