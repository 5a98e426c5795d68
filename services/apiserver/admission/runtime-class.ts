/**
 * A pod that names a RuntimeClass gets its overhead, node selector and tolerations. Source:
 * plugin/pkg/admission/runtimeclass, KEP-688.
 */
import {
  type DeepReadonly,
  type KindInfo,
  Kinds,
  kindInfo,
  type Pod,
  type RuntimeClass,
  semanticEqual,
} from '#lib/api';
import type { Ctx } from '#lib/base';
import type { Storage } from '../storage.ts';
import type { AdmissionPlugin, AdmissionRequest } from './chain.ts';
import { refusal } from './refusal.ts';
import { mergeTolerations } from './tolerations.ts';

export class RuntimeClassAdmission implements AdmissionPlugin {
  readonly name = 'RuntimeClass';
  readonly #storage: Storage;
  readonly #kind: KindInfo;

  constructor(storage: Storage) {
    this.#storage = storage;
    this.#kind = kindInfo(Kinds.runtimeclasses);
  }

  async admit(request: AdmissionRequest, c: Ctx): Promise<void> {
    const pod = newPod(request);
    const found = pod === undefined ? undefined : await this.#classOf(pod, request, c);
    if (pod === undefined || found === undefined) return;
    const { overhead, scheduling } = found;
    if (overhead !== undefined) {
      requireSameOverhead(request, pod, overhead.podFixed);
      pod.spec.overhead = { ...overhead.podFixed };
    }
    if (scheduling === undefined) return;
    const nodeSelector = { ...pod.spec.nodeSelector };
    for (const [key, value] of Object.entries(scheduling.nodeSelector ?? {})) {
      const own = Object.hasOwn(nodeSelector, key) ? nodeSelector[key] : undefined;
      if (own !== undefined && own !== value)
        throw refusal(
          request,
          `conflict: runtimeClass.scheduling.nodeSelector[${key}] = ${value}; pod.spec.nodeSelector[${key}] = ${own}`,
        );
      nodeSelector[key] = value;
    }
    if (Object.keys(nodeSelector).length > 0) pod.spec.nodeSelector = nodeSelector;
    const tolerations = mergeTolerations(pod.spec.tolerations ?? [], scheduling.tolerations ?? []);
    if (tolerations.length > 0) pod.spec.tolerations = tolerations;
  }

  /** Again at the end: a webhook may have changed the overhead. */
  async validate(request: AdmissionRequest, c: Ctx): Promise<void> {
    const pod = newPod(request);
    if (pod === undefined) return;
    const overhead = (await this.#classOf(pod, request, c))?.overhead;
    if (overhead !== undefined) {
      requireSameOverhead(request, pod, overhead.podFixed);
      if (semanticEqual(pod.spec.overhead ?? {}, overhead.podFixed ?? {})) return;
      throw refusal(request, MISMATCH);
    }
    if (pod.spec.overhead !== undefined)
      throw refusal(request, 'pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead');
  }

  /** The cache may not know a young class yet: asked again of the store. */
  async #classOf(pod: Pod, request: AdmissionRequest, c: Ctx): Promise<DeepReadonly<RuntimeClass> | undefined> {
    const name = pod.spec.runtimeClassName;
    if (name === undefined) return undefined;
    const key = { namespace: '', name };
    const found = this.#storage.latest(this.#kind, key) ?? (await this.#storage.current(this.#kind, key, c));
    if (found === undefined) throw refusal(request, `pod rejected: RuntimeClass "${name}" not found`);
    return found.object as DeepReadonly<RuntimeClass>;
  }
}

const MISMATCH = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";

function requireSameOverhead(
  request: AdmissionRequest,
  pod: Pod,
  podFixed: Readonly<Record<string, string>> | undefined,
): void {
  const own = pod.spec.overhead ?? {};
  if (Object.keys(own).length > 0 && !semanticEqual(own, podFixed ?? {})) throw refusal(request, MISMATCH);
}

function newPod({ kind, operation, subresource, object }: AdmissionRequest): Pod | undefined {
  const isPod = kind.group === '' && kind.resource === 'pods' && subresource === '' && operation === 'CREATE';
  return isPod ? (object as Pod | undefined) : undefined;
}
