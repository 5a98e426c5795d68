/**
 * What Kubernetes' admission gives every new pod: a service account, a priority, tolerations of a short loss of its node.
 * Source: plugin/pkg/admission/{serviceaccount,priority,defaulttolerationseconds}.
 */
import {
  type DeepReadonly,
  type KindInfo,
  Kinds,
  type KubeObject,
  kindInfo,
  type Namespace,
  type Pod,
  type PodSpec,
  type ServiceAccount,
} from '#lib/api';
import { type Clock, type Ctx, type Random, randomName } from '#lib/base';
import { forbidden } from '../api-errors.ts';
import type { Storage } from '../storage.ts';
import type { AdmissionPlugin, AdmissionRequest } from './chain.ts';
import { mountToken, wantsToken } from './token-volume.ts';

const MIRROR = 'kubernetes.io/config.mirror';
const SERVICE_ACCOUNT_POLL_MS = 20;

/** The spec of a pod that is being created; undefined for everything else. */
function newPodSpec(request: AdmissionRequest): PodSpec | undefined {
  const isPod = request.kind.group === '' && request.kind.resource === 'pods' && request.subresource === '';
  if (!isPod || request.operation !== 'CREATE') return undefined;
  const pod = request.object as Pod | undefined;
  return pod?.spec;
}

export class ServiceAccountAdmission implements AdmissionPlugin {
  readonly name = 'ServiceAccount';
  readonly #storage: Storage;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #waitMs: number;

  constructor(o: { storage: Storage; clock: Clock; random: Random; waitMs: number }) {
    this.#storage = o.storage;
    this.#clock = o.clock;
    this.#random = o.random;
    this.#waitMs = o.waitMs;
  }

  async admit(request: AdmissionRequest, c: Ctx): Promise<void> {
    const spec = newPodSpec(request);
    if (spec === undefined || request.object?.metadata.annotations?.[MIRROR] !== undefined) return;
    const name = spec.serviceAccountName || 'default';
    spec.serviceAccountName = name;
    spec.serviceAccount = name;
    const account = await this.#account(request.namespace, name, c);
    if (account === undefined)
      throw forbidden(
        request.kind,
        request.name,
        `error looking up service account ${request.namespace}/${name}: serviceaccount "${name}" not found`,
      );
    const secrets = account.imagePullSecrets ?? [];
    if ((spec.imagePullSecrets ?? []).length === 0 && secrets.length > 0)
      spec.imagePullSecrets = secrets.map((s) => ({ ...s }));
    if (wantsToken(spec, account)) mountToken(spec, randomName(this.#random));
  }

  /** A controller makes the default account with its namespace: in a young namespace we wait for it a little. */
  async #account(namespace: string, name: string, c: Ctx): Promise<DeepReadonly<ServiceAccount> | undefined> {
    const kind = kindInfo(Kinds.serviceaccounts);
    const key = { namespace, name };
    const find = (): DeepReadonly<ServiceAccount> | undefined =>
      this.#storage.latest(kind, key)?.object as DeepReadonly<ServiceAccount> | undefined;
    let found = find();
    if (found !== undefined) return found;
    const giveUpMs = name === 'default' ? this.#createdMs(namespace) + this.#waitMs : 0;
    while (found === undefined && this.#clock.now() < giveUpMs) {
      await this.#clock.sleep(SERVICE_ACCOUNT_POLL_MS, c.signal);
      found = find();
    }
    return found ?? ((await this.#storage.current(kind, key, c))?.object as DeepReadonly<ServiceAccount> | undefined);
  }

  #createdMs(name: string): number {
    const found = this.#storage.latest(kindInfo(Kinds.namespaces), { namespace: '', name });
    const namespace = found?.object as DeepReadonly<Namespace> | undefined;
    return Date.parse(namespace?.metadata.creationTimestamp ?? '') || 0;
  }
}

const SYSTEM_PRIORITIES: Readonly<Record<string, number>> = {
  'system-cluster-critical': 2_000_000_000,
  'system-node-critical': 2_000_001_000,
};

interface PriorityClass extends KubeObject {
  value: number;
  globalDefault?: boolean;
  preemptionPolicy?: 'Never' | 'PreemptLowerPriority';
}

export class PriorityAdmission implements AdmissionPlugin {
  readonly name = 'Priority';
  readonly #storage: Storage;
  readonly #kind: KindInfo;

  constructor(storage: Storage) {
    this.#storage = storage;
    this.#kind = kindInfo(Kinds.priorityclasses);
  }

  async admit(request: AdmissionRequest, c: Ctx): Promise<void> {
    const spec = newPodSpec(request);
    if (spec === undefined) return;
    const found = await this.#classOf(spec.priorityClassName ?? '', request, c);
    const value = found?.value ?? 0;
    if (found?.metadata.name !== undefined) spec.priorityClassName = found.metadata.name;
    if (spec.priority !== undefined && spec.priority !== value)
      throw forbidden(
        request.kind,
        request.name,
        `the integer value of priority (${spec.priority}) must not be provided in pod spec; priority admission ` +
          `controller computed ${value} from the given PriorityClass name`,
      );
    spec.priority = value;
    spec.preemptionPolicy ??= found?.preemptionPolicy ?? 'PreemptLowerPriority';
  }

  async #classOf(name: string, request: AdmissionRequest, c: Ctx): Promise<DeepReadonly<PriorityClass> | undefined> {
    if (name === '') return this.#globalDefault();
    const key = { namespace: '', name };
    const cached = this.#storage.latest(this.#kind, key) ?? (await this.#storage.current(this.#kind, key, c));
    const value = SYSTEM_PRIORITIES[name];
    if (cached !== undefined) return cached.object as DeepReadonly<PriorityClass>;
    if (value !== undefined) return { apiVersion: '', kind: '', metadata: { name }, value };
    throw forbidden(request.kind, request.name, `no PriorityClass with name ${name} was found`);
  }

  /** Of several, the one of lowest value, as Kubernetes. */
  #globalDefault(): DeepReadonly<PriorityClass> | undefined {
    let best: DeepReadonly<PriorityClass> | undefined;
    for (const cached of this.#storage.cache.of(this.#kind).items('')) {
      const candidate = cached.object as DeepReadonly<PriorityClass>;
      if (candidate.globalDefault === true && (best === undefined || candidate.value < best.value)) best = candidate;
    }
    return best;
  }
}

const NOT_READY = 'node.kubernetes.io/not-ready';
const UNREACHABLE = 'node.kubernetes.io/unreachable';

export class DefaultTolerationSeconds implements AdmissionPlugin {
  readonly name = 'DefaultTolerationSeconds';
  /** Of pods to come. */
  seconds: number;

  constructor(seconds: number) {
    this.seconds = seconds;
  }

  admit(request: AdmissionRequest): void {
    const spec = newPodSpec(request);
    if (spec === undefined) return;
    for (const key of [NOT_READY, UNREACHABLE]) {
      const isTolerated = (spec.tolerations ?? []).some(
        (t) => (t.key === key || !t.key) && (t.effect === 'NoExecute' || !t.effect),
      );
      if (isTolerated) continue;
      const toleration = { key, operator: 'Exists', effect: 'NoExecute', tolerationSeconds: this.seconds } as const;
      spec.tolerations = [...(spec.tolerations ?? []), toleration];
    }
  }
}
