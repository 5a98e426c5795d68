/**
 * LimitRanger: a namespace's LimitRanges give containers the requests and limits they lack, and bound containers, pods and
 * claims. Source: kubernetes plugin/pkg/admission/limitranger/admission.go.
 */

import type { DeepReadonly, KubeObject, PersistentVolumeClaim } from '#lib/api';
import { type Container, type KindInfo, Kinds, kindInfo, type LimitRange, type Pod } from '#lib/api';
import type { Storage } from '../storage.ts';
import type { AdmissionPlugin, AdmissionRequest } from './chain.ts';
import { claimViolations, podViolations } from './limits.ts';
import { aggregateText, refusal } from './refusal.ts';

const ANNOTATION = 'kubernetes.io/limit-ranger';

export class LimitRanger implements AdmissionPlugin {
  readonly name = 'LimitRanger';
  readonly #storage: Storage;
  readonly #kind: KindInfo;

  constructor(storage: Storage) {
    this.#storage = storage;
    this.#kind = kindInfo(Kinds.limitranges);
  }

  admit(request: AdmissionRequest): void {
    if (subjectOf(request) !== 'pod') return;
    const pod = request.object as Pod;
    for (const range of this.#ranges(request)) giveDefaults(pod, range);
  }

  validate(request: AdmissionRequest): void {
    const subject = subjectOf(request);
    if (subject === undefined || request.object === undefined) return;
    for (const range of this.#ranges(request)) {
      const limits = range.spec.limits ?? [];
      const reasons =
        subject === 'pod'
          ? podViolations(limits, request.object as DeepReadonly<Pod>)
          : claimViolations(limits, request.object as DeepReadonly<KubeObject & PersistentVolumeClaim>);
      if (reasons.length > 0) throw refusal(request, aggregateText(reasons));
    }
  }

  *#ranges(request: AdmissionRequest): Iterable<DeepReadonly<LimitRange>> {
    for (const cached of this.#storage.cache.of(this.#kind).items(request.namespace))
      yield cached.object as DeepReadonly<LimitRange>;
  }
}

/** A pod when it is made or resized, a claim whenever it changes; what is going is left alone. */
function subjectOf(request: AdmissionRequest): 'pod' | 'claim' | undefined {
  const { kind, operation, subresource } = request;
  if (kind.group !== '' || request.object === undefined) return undefined;
  if (operation !== 'CREATE' && operation !== 'UPDATE') return undefined;
  if (request.previous?.metadata.deletionTimestamp !== undefined) return undefined;
  if (kind.resource === 'persistentvolumeclaims') return subresource === '' ? 'claim' : undefined;
  if (kind.resource !== 'pods') return undefined;
  return (operation === 'CREATE' && subresource === '') || subresource === 'resize' ? 'pod' : undefined;
}

type Texts = Readonly<Record<string, string>>;

function giveDefaults(pod: Pod, range: DeepReadonly<LimitRange>): void {
  let limits: Texts = {};
  let requests: Texts = {};
  for (const item of range.spec.limits ?? []) {
    if (item.type !== 'Container') continue;
    limits = { ...limits, ...item.default };
    requests = { ...requests, ...item.defaultRequest };
  }
  const notes = [
    ...(pod.spec.containers ?? []).flatMap((c) => giveContainer(c, requests, limits, 'container')),
    ...(pod.spec.initContainers ?? []).flatMap((c) => giveContainer(c, requests, limits, 'init container')),
  ];
  if (notes.length === 0) return;
  const text = `LimitRanger plugin set: ${notes.join('; ')}`;
  pod.metadata.annotations = { ...pod.metadata.annotations, [ANNOTATION]: text };
}

/** What was given, for the annotation. */
function giveContainer(c: Container, requests: Texts, limits: Texts, sort: string): string[] {
  const newRequests = lacking(requests, c.resources?.requests);
  const newLimits = lacking(limits, c.resources?.limits);
  if (newRequests.length === 0 && newLimits.length === 0) return [];
  const resources = { ...c.resources };
  if (newRequests.length > 0) resources.requests = { ...resources.requests, ...Object.fromEntries(newRequests) };
  if (newLimits.length > 0) resources.limits = { ...resources.limits, ...Object.fromEntries(newLimits) };
  c.resources = resources;
  return [
    ...(newRequests.length > 0 ? [`${namesOf(newRequests)} request for ${sort} ${c.name}`] : []),
    ...(newLimits.length > 0 ? [`${namesOf(newLimits)} limit for ${sort} ${c.name}`] : []),
  ];
}

function lacking(given: Texts, has: Texts | undefined): (readonly [string, string])[] {
  return Object.entries(given).filter(([name]) => has === undefined || !Object.hasOwn(has, name));
}

function namesOf(entries: readonly (readonly [string, string])[]): string {
  return entries
    .map(([name]) => name)
    .sort()
    .join(', ');
}
