/**
 * POST pods/NAME/binding: a pod gets its node, once. Source: pkg/registry/core/pod/storage/storage.go BindingREST.
 * The hot path of a rollout: the draft shares everything it does not change with the cached pod.
 */
import { type Binding, type DeepReadonly, decodeType, type KubeObject, type Pod } from '#lib/api';
import { type Ctx, StatusError, timeText } from '#lib/base';
import { admitBody } from '../admission/requests.ts';
import { badRequest, conflict } from '../api-errors.ts';
import type { Cached } from '../cache/cached.ts';
import type { Core, CoreResult } from '../core.ts';
import { type Change, guaranteedUpdate } from '../write/guaranteed-update.ts';
import type { BodyRequest } from './subresources.ts';

const KIND = { group: '', version: 'v1', kind: 'Binding' };
const BINDING = { group: '', resource: 'pods/binding' };

export async function createBinding(core: Core, request: BodyRequest, c: Ctx): Promise<CoreResult> {
  const binding = decodeType('core/v1.Binding', request.body).object as Binding;
  const { target } = binding;
  const name = request.name ?? binding.metadata?.name ?? '';
  if (binding.metadata?.name !== undefined && binding.metadata.name !== '' && binding.metadata.name !== name)
    throw badRequest(`name in URL does not match name in Binding object`);
  if (target?.name === undefined || target.name === '') throw requiredTarget();
  if (target.kind !== undefined && target.kind !== '' && target.kind !== 'Node' && target.kind !== 'Minion')
    throw badRequest(`target.kind: Unsupported value: "${target.kind}": supported values: "Node"`);
  const body = binding as unknown as KubeObject;
  body.apiVersion = 'v1';
  body.kind = 'Binding';
  const dryRun = request.options.dryRun === true;
  await admitBody(core, { ...request, subresource: 'binding', name }, { body, kind: KIND, dryRun }, c);
  const nodeName = binding.target?.name ?? target.name;
  const change = (current: Cached): Change => {
    const pod = current.object as DeepReadonly<Pod>;
    check(pod, binding, name);
    return { action: 'put', object: bound(pod, binding, nodeName, timeText(core.clock.now())) as KubeObject };
  };
  const key = { namespace: request.namespace, name };
  await guaranteedUpdate(core.storage, { kind: request.stored, key, dryRun, change, fence: request.fence }, c);
  return {
    type: 'status',
    status: { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 },
    code: 201,
  };
}

function check(pod: DeepReadonly<Pod>, binding: Binding, name: string): void {
  const { uid, resourceVersion } = binding.metadata ?? {};
  if (uid !== undefined && uid !== '' && uid !== pod.metadata.uid)
    throw conflict(
      BINDING,
      name,
      `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${pod.metadata.uid ?? ''}`,
    );
  if (resourceVersion !== undefined && resourceVersion !== '' && resourceVersion !== pod.metadata.resourceVersion)
    throw conflict(BINDING, name);
  if (pod.metadata.deletionTimestamp !== undefined)
    throw conflict(BINDING, name, `pod ${name} is being deleted, cannot be assigned to a host`);
  if (pod.spec?.nodeName !== undefined && pod.spec.nodeName !== '')
    throw conflict(BINDING, name, `pod ${name} is already assigned to node "${pod.spec.nodeName}"`);
  if ((pod.spec?.schedulingGates ?? []).length > 0)
    throw conflict(BINDING, name, `pod ${name} has non-empty .spec.schedulingGates`);
}

function bound(pod: DeepReadonly<Pod>, binding: Binding, nodeName: string, nowText: string): object {
  const condition = { type: 'PodScheduled', status: 'True', lastTransitionTime: nowText };
  const { annotations, labels } = binding.metadata ?? {};
  const observed = pod.metadata.generation === undefined ? {} : { observedGeneration: pod.metadata.generation };
  /* A new condition, not a changed one: why the pod waited before (Unschedulable, SchedulingGated) is over. */
  const others = (pod.status?.conditions ?? []).filter((x) => x.type !== condition.type);
  return {
    ...pod,
    metadata: {
      ...pod.metadata,
      ...(annotations === undefined ? {} : { annotations: { ...pod.metadata.annotations, ...annotations } }),
      ...(labels === undefined ? {} : { labels: { ...pod.metadata.labels, ...labels } }),
    },
    spec: { ...pod.spec, nodeName },
    status: {
      ...pod.status,
      conditions: [...others, { ...condition, ...observed }],
    },
  };
}

function requiredTarget(): StatusError {
  const message = 'Required value';
  return new StatusError('Invalid', `Binding "" is invalid: target.name: ${message}`, {
    details: { kind: 'Binding', causes: [{ reason: 'FieldValueRequired', message, field: 'target.name' }] },
  });
}
