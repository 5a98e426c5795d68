/**
 * PodSecurity: pods that violate their namespace's enforced level are refused; what makes pods is only warned about, since
 * its pods are judged when they come. Source: k8s.io/pod-security-admission/admission/admission.go, KEP-2579.
 */
import { type DeepReadonly, invalidError, type KindInfo, Kinds, kindInfo, type Namespace, type Pod } from '#lib/api';
import { type Ctx, StatusError } from '#lib/base';
import type { Storage } from '../../storage.ts';
import type { AdmissionPlugin, AdmissionRequest } from '../chain.ts';
import { refusal } from '../refusal.ts';
import type { PodMetadata, Spec } from './check.ts';
import { detailText, evaluate } from './evaluate.ts';
import { existingPodWarnings } from './existing-pods.ts';
import {
  compareLevels,
  isSameLevelVersion,
  type LevelVersion,
  levelVersionText,
  type Policy,
  policyOf,
} from './policy.ts';
import { isJudgedSubresource, isSignificantUpdate, makesPods, templateOf } from './significant.ts';

const AUDIT_PREFIX = 'pod-security.kubernetes.io/';

export class PodSecurity implements AdmissionPlugin {
  readonly name = 'PodSecurity';
  readonly #storage: Storage;
  readonly #pods: KindInfo;
  readonly #namespaces: KindInfo;

  constructor(storage: Storage) {
    this.#storage = storage;
    this.#pods = kindInfo(Kinds.pods);
    this.#namespaces = kindInfo(Kinds.namespaces);
  }

  async validate(request: AdmissionRequest, c: Ctx): Promise<void> {
    if (request.operation !== 'CREATE' && request.operation !== 'UPDATE') return;
    const { kind, object } = request;
    if (object === undefined) return;
    if (kind.group === '' && kind.resource === 'namespaces') await this.#namespace(request, object as Namespace, c);
    else if (kind.group === '' && kind.resource === 'pods') await this.#pod(request, object as Pod, c);
    else if (makesPods(kind)) await this.#controller(request, c);
  }

  async #namespace(request: AdmissionRequest, namespace: DeepReadonly<Namespace>, c: Ctx): Promise<void> {
    if (request.subresource !== '') return;
    const { policy, errors } = policyOf(namespace.metadata.labels);
    const isUpdate = request.operation === 'UPDATE';
    const before = policyOf(isUpdate ? request.previous?.metadata.labels : undefined);
    const isNewError = errors.length > 0 && JSON.stringify(errors) !== JSON.stringify(before.errors);
    if (isNewError) throw invalidError(request.kind, namespace.metadata.name, errors);
    if (!isUpdate || !isStricter(policy.enforce, before.policy.enforce)) return;
    const name = namespace.metadata.name;
    for (const warning of await existingPodWarnings(name, policy.enforce, this.#podsIn(name), c)) request.warn(warning);
  }

  *#podsIn(namespace: string): Iterable<DeepReadonly<Pod>> {
    for (const cached of this.#storage.cache.of(this.#pods).items(namespace)) yield cached.object as DeepReadonly<Pod>;
  }

  async #pod(request: AdmissionRequest, pod: DeepReadonly<Pod>, c: Ctx): Promise<void> {
    if (!isJudgedSubresource(request.subresource) || pod.spec === undefined) return;
    const policy = await this.#policy(request, c);
    if (isFullyPrivileged(policy)) return;
    const previous = request.previous as DeepReadonly<Pod> | undefined;
    if (request.operation === 'UPDATE' && previous !== undefined && !isSignificantUpdate(pod, previous)) return;
    request.annotate?.(`${AUDIT_PREFIX}enforce-policy`, levelVersionText(policy.enforce));
    const { level, version } = policy.enforce;
    const violations = evaluate(level, version, pod.metadata, pod.spec);
    if (violations.length > 0) {
      this.#audit(request, policy, pod.metadata, pod.spec);
      throw refusal(request, `violates PodSecurity "${levelVersionText(policy.enforce)}": ${detailText(violations)}`);
    }
    this.#tell(request, policy, pod.metadata, pod.spec);
  }

  async #controller(request: AdmissionRequest, c: Ctx): Promise<void> {
    if (request.subresource !== '' || request.object === undefined) return;
    const template = templateOf(request.kind, request.object);
    if (template?.spec === undefined) return;
    this.#tell(request, await this.#policy(request, c), template.metadata ?? {}, template.spec);
  }

  #tell(request: AdmissionRequest, policy: Policy, metadata: PodMetadata, spec: Spec): void {
    this.#audit(request, policy, metadata, spec);
    const text = wouldViolate(policy.warn, metadata, spec);
    if (text !== undefined) request.warn(text);
  }

  #audit(request: AdmissionRequest, policy: Policy, metadata: PodMetadata, spec: Spec): void {
    if (request.annotate === undefined) return;
    const text = wouldViolate(policy.audit, metadata, spec);
    if (text !== undefined) request.annotate(`${AUDIT_PREFIX}audit-violations`, text);
  }

  /** The cache may not know a young namespace yet: asked again of the store. */
  async #policy(request: AdmissionRequest, c: Ctx): Promise<Policy> {
    const key = { namespace: '', name: request.namespace };
    const known =
      this.#storage.latest(this.#namespaces, key) ?? (await this.#storage.current(this.#namespaces, key, c));
    if (known === undefined) throw new StatusError('Internal', `failed to lookup namespace "${request.namespace}"`);
    return policyOf(known.object.metadata.labels).policy;
  }
}

function wouldViolate(lv: LevelVersion, metadata: PodMetadata, spec: Spec): string | undefined {
  const violations = evaluate(lv.level, lv.version, metadata, spec);
  if (violations.length === 0) return undefined;
  return `would violate PodSecurity "${levelVersionText(lv)}": ${detailText(violations)}`;
}

function isFullyPrivileged({ enforce, audit, warn }: Policy): boolean {
  return [enforce, audit, warn].every((lv) => lv.level === 'privileged');
}

/** Whether pods that are there may now violate what they did not before. */
function isStricter(now: LevelVersion, before: LevelVersion): boolean {
  if (isSameLevelVersion(now, before) || now.level === 'privileged') return false;
  return now.version !== before.version || compareLevels(now.level, before.level) > 0;
}
