/**
 * POST pods/NAME/eviction: a delete that asks the pod's disruption budget first.
 * Source: pkg/registry/core/pod/storage/eviction.go.
 */
import {
  type DeepReadonly,
  decodeType,
  getCondition,
  Kinds,
  type KubeObject,
  kindInfo,
  matcherOf,
  type Pod,
  setCondition,
} from '#lib/api';
import { type Ctx, StatusError, timeText } from '#lib/base';
import type { DeleteOptions } from '#lib/client';
import { admitBody } from '../admission/requests.ts';
import { badRequest } from '../api-errors.ts';
import type { Cached } from '../cache/cached.ts';
import type { Core, CoreResult } from '../core.ts';
import { guaranteedUpdate } from '../write/guaranteed-update.ts';
import { deleteKey } from './delete.ts';
import { readObject } from './get.ts';
import type { BodyRequest } from './subresources.ts';

const KIND = { group: 'policy', version: 'v1', kind: 'Eviction' };

interface EvictionBody {
  metadata?: { name?: string; namespace?: string };
  deleteOptions?: DeleteOptions & { dryRun?: unknown };
}

interface Budget extends KubeObject {
  spec?: { selector?: Parameters<typeof matcherOf>[0]; unhealthyPodEvictionPolicy?: string };
  status?: {
    disruptionsAllowed?: number;
    currentHealthy?: number;
    desiredHealthy?: number;
    observedGeneration?: number;
    disruptedPods?: Record<string, string>;
  };
}

export async function createEviction(core: Core, request: BodyRequest, c: Ctx): Promise<CoreResult> {
  const eviction = decodeType('policy/v1.Eviction', request.body).object as EvictionBody;
  const name = request.name ?? '';
  if (eviction.metadata?.name !== undefined && eviction.metadata.name !== '' && eviction.metadata.name !== name)
    throw badRequest('name in URL does not match name in Eviction object');
  const asksDryRun = request.options.dryRun === true || Array.isArray(eviction.deleteOptions?.dryRun);
  const body = { ...eviction, kind: KIND.kind, apiVersion: 'policy/v1' } as KubeObject & EvictionBody;
  await admitBody(core, { ...request, name }, { body, kind: KIND, dryRun: asksDryRun }, c);
  const deleteOptions = body.deleteOptions;
  const pod = await readObject(core, request, c);
  const dryRun = request.options.dryRun === true || Array.isArray(deleteOptions?.dryRun);
  if (!bypassesBudget(pod.object as DeepReadonly<Pod>)) await spendBudget(core, pod, dryRun, c);
  if (!dryRun) await markDisrupted(core, request, pod, c);
  const uid = pod.object.metadata.uid;
  const options: DeleteOptions = {
    ...deleteOptions,
    dryRun,
    preconditions: { ...deleteOptions?.preconditions, uid },
  };
  await deleteKey(core, { kind: request.stored, key: { namespace: request.namespace, name }, options }, c);
  return {
    type: 'status',
    status: { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 },
    code: 201,
  };
}

/** Pods that do not run yet or any more, or are going already. */
function bypassesBudget(pod: DeepReadonly<Pod>): boolean {
  const phase = pod.status?.phase;
  return (
    phase === 'Pending' || phase === 'Succeeded' || phase === 'Failed' || pod.metadata.deletionTimestamp !== undefined
  );
}

async function spendBudget(core: Core, pod: Cached, dryRun: boolean, c: Ctx): Promise<void> {
  const kind = kindInfo(Kinds.poddisruptionbudgets);
  const budgets = [...core.cache.of(kind).items(pod.namespace)].filter((b) =>
    matcherOf((b.object as DeepReadonly<Budget>).spec?.selector).matches(pod.object.metadata.labels),
  );
  const [budget, second] = budgets;
  if (budget === undefined) return;
  if (second !== undefined)
    throw new StatusError(
      'Internal',
      'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.',
    );
  const isReady = getCondition((pod.object as DeepReadonly<Pod>).status?.conditions, 'Ready')?.status === 'True';
  const key = { namespace: budget.namespace, name: budget.name };
  const nowText = timeText(core.clock.now());
  await guaranteedUpdate(
    core.storage,
    {
      kind,
      key,
      dryRun,
      change: (current) => spend(current.object as DeepReadonly<Budget>, pod.name, isReady, nowText),
    },
    c,
  );
}

function spend(
  budget: DeepReadonly<Budget>,
  podName: string,
  isReady: boolean,
  nowText: string,
): { action: 'keep' } | { action: 'put'; object: KubeObject } {
  const status = budget.status ?? {};
  const { disruptionsAllowed = 0, currentHealthy = 0, desiredHealthy = 0 } = status;
  const always = budget.spec?.unhealthyPodEvictionPolicy === 'AlwaysAllow';
  if (!isReady && (always || (currentHealthy >= desiredHealthy && desiredHealthy > 0))) return { action: 'keep' };
  const isObserved = (status.observedGeneration ?? 0) >= (budget.metadata.generation ?? 0);
  if (disruptionsAllowed <= 0 || !isObserved) {
    const name = budget.metadata.name;
    const cause = isObserved
      ? `The disruption budget ${name} needs ${desiredHealthy} healthy pods and has ${currentHealthy} currently`
      : `The disruption budget ${name} is still being processed by the server.`;
    throw new StatusError('TooManyRequests', "Cannot evict pod as it would violate the pod's disruption budget.", {
      details: {
        causes: [{ reason: 'DisruptionBudget', message: cause }],
        ...(isObserved ? {} : { retryAfterSeconds: 10 }),
      },
    });
  }
  const disruptedPods = { ...status.disruptedPods, [podName]: nowText };
  const left = { ...status, disruptionsAllowed: disruptionsAllowed - 1, disruptedPods };
  // The storage sets the copy's resourceVersion: it must not be the cached object's metadata.
  const next = { ...budget, metadata: { ...budget.metadata }, status: left };
  return { action: 'put', object: next as KubeObject };
}

/** So that the pod's own status tells why it went. */
async function markDisrupted(core: Core, request: BodyRequest, pod: Cached, c: Ctx): Promise<void> {
  const nowText = timeText(core.clock.now());
  const condition = {
    type: 'DisruptionTarget',
    status: 'True',
    reason: 'EvictionByEvictionAPI',
    message: 'Eviction API: evicting',
    lastTransitionTime: nowText,
  };
  await guaranteedUpdate(
    core.storage,
    {
      kind: request.stored,
      key: { namespace: pod.namespace, name: pod.name },
      dryRun: false,
      change: (current) => {
        const now = current.object as DeepReadonly<Pod>;
        const conditions = setCondition(now.status?.conditions, condition, nowText);
        const next = { ...now, metadata: { ...now.metadata }, status: { ...now.status, conditions } };
        return { action: 'put', object: next as KubeObject };
      },
    },
    c,
  );
}
