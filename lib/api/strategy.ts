/**
 * What the registry strategies do to an object between decoding and validation: status belongs to the status subresource,
 * spec to the main endpoint, generation counts the changes of spec, system metadata is carried over. Hand-written per kind
 * in kinds/strategies.ts, for all others the general rule below.
 *
 * Order in the server: decode, applyDefaults, set uid and creationTimestamp (create), prepare*, validate*.
 * Source: pkg/registry/*\/*\/strategy.go, apiserver/pkg/registry/rest/{create,update,meta}.go.
 */
import { semanticEqual } from './equality.ts';
import type { ObjectMeta } from './gen/types/meta-v1.ts';
import { STRATEGIES } from './kinds/strategies.ts';
import type { KindRef, KubeObject } from './object.ts';
import { type KindInfo, kindInfo } from './registry.ts';
import { decodeType } from './schema.ts';
import { typeOf } from './type-table.ts';

type Json = Record<string, unknown>;

/** Status dropped, generation 1, fields that only the system sets; in place. uid and creationTimestamp are the server's. */
export function prepareCreate(kind: KindRef, object: KubeObject): void {
  const info = kindInfo(kind);
  const { metadata } = object;
  delete metadata.deletionTimestamp;
  delete metadata.deletionGracePeriodSeconds;
  delete metadata.selfLink;
  dropDoubleOwners(metadata);
  if (info.hasGeneration) metadata.generation = 1;
  else delete metadata.generation;
  const strategy = STRATEGIES[info.schema];
  if (info.custom !== undefined) {
    if (info.hasStatus) delete asJson(object)['status'];
  } else if (info.hasStatus && strategy?.keepsStatusOnCreate !== true) asJson(object)['status'] = zeroStatus(info);
  strategy?.create?.(object);
}

/**
 * `subresource` undefined: the main endpoint keeps the old status. 'status' keeps everything but status, labels and
 * annotations. Others (approval, finalize, ephemeralcontainers, resize) keep all but what they are for. Changes `next` only.
 */
export function prepareUpdate(kind: KindRef, next: KubeObject, previous: KubeObject, subresource?: string): void {
  const info = kindInfo(kind);
  const strategy = STRATEGIES[info.schema];
  carryMetadata(next.metadata, previous.metadata);
  dropDoubleOwners(next.metadata);
  if (subresource === undefined) {
    if (info.hasStatus) copyField('status', next, previous);
    strategy?.update?.(next, previous);
  } else if (info.custom !== undefined) {
    keepCustomStatus(next, previous);
  } else if (strategy?.subresources?.[subresource] !== undefined) {
    strategy.subresources[subresource](next, previous);
  } else if (subresource === 'status') {
    keepAllBut(['status'], info, next, previous);
  }
  if (subresource !== 'status' && info.hasGeneration && isNewGeneration(info, next, previous))
    next.metadata.generation = (previous.metadata.generation ?? 0) + 1;
}

/** System metadata that a client may leave out or cannot change. A different value given is left for validation to refuse. */
function carryMetadata(next: ObjectMeta, previous: ObjectMeta): void {
  next.uid ||= previous.uid;
  next.creationTimestamp ??= previous.creationTimestamp;
  delete next.generateName;
  if (previous.generateName !== undefined) next.generateName = previous.generateName;
  delete next.selfLink;
  if (previous.generation === undefined) delete next.generation;
  else next.generation = previous.generation;
  if (previous.deletionTimestamp === undefined) {
    delete next.deletionTimestamp;
    delete next.deletionGracePeriodSeconds;
    return;
  }
  next.deletionTimestamp = previous.deletionTimestamp;
  if (previous.deletionGracePeriodSeconds === undefined) delete next.deletionGracePeriodSeconds;
  else next.deletionGracePeriodSeconds = previous.deletionGracePeriodSeconds;
}

/** Two owner references of one uid are one. */
function dropDoubleOwners(metadata: ObjectMeta): void {
  const owners = metadata.ownerReferences;
  if (owners === undefined || owners.length < 2) return;
  const seen = new Set<string>();
  metadata.ownerReferences = owners.filter(({ uid }) => !seen.has(uid) && seen.add(uid));
}

function isNewGeneration(info: KindInfo, next: KubeObject, previous: KubeObject): boolean {
  const strategy = STRATEGIES[info.schema];
  if (strategy?.generationOf !== undefined)
    return !semanticEqual(strategy.generationOf(next), strategy.generationOf(previous));
  if (info.custom !== undefined) {
    const left = info.hasStatus ? withoutStatus : withoutMetadata;
    return !semanticEqual(left(next), left(previous));
  }
  if (typeOf(info.schema).byName.has('spec')) return !semanticEqual(asJson(next)['spec'], asJson(previous)['spec']);
  return !semanticEqual(withoutMetadata(next), withoutMetadata(previous));
}

/** All but the status is as it was, metadata included. Source: customresource/status_strategy.go. */
function keepCustomStatus(next: KubeObject, previous: KubeObject): void {
  const { managedFields } = next.metadata;
  const { status } = asJson(next);
  for (const name of Object.keys(next)) if (name !== 'status') delete asJson(next)[name];
  for (const name of Object.keys(previous)) if (name !== 'status') copyField(name, next, previous);
  if (managedFields === undefined) delete next.metadata.managedFields;
  else next.metadata.managedFields = managedFields;
  if (status === undefined) delete asJson(next)['status'];
}

function withoutStatus(o: KubeObject): Json {
  const { status: _, ...rest } = withoutMetadata(o);
  return rest;
}

function withoutMetadata(o: KubeObject): Json {
  const { metadata: _, ...rest } = asJson(o);
  return rest;
}

/** The status that a decoder gives for an object without one. */
function zeroStatus(info: KindInfo): unknown {
  const { object } = decodeType(info.schema, {});
  return (object as Json)['status'];
}

function keepAllBut(names: readonly string[], info: KindInfo, next: KubeObject, previous: KubeObject): void {
  for (const { name } of typeOf(info.schema).fields)
    if (name !== 'metadata' && !names.includes(name)) copyField(name, next, previous);
}

function copyField(name: string, next: KubeObject, previous: KubeObject): void {
  const kept = asJson(previous)[name];
  if (kept === undefined) delete asJson(next)[name];
  else asJson(next)[name] = structuredClone(kept);
}

function asJson(o: KubeObject): Json {
  return o as unknown as Json;
}
