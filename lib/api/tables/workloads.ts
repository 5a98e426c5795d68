/** Rows of the workload kinds. Source: kubernetes/pkg/printers/internalversion/printers.go. */
import { Kinds } from '../gen/kinds.ts';
import type { Job } from '../gen/types/batch-v1.ts';
import type { Container } from '../gen/types/core-v1.ts';
import { durationText, isConditionTrue } from '../meta.ts';
import type { DeepReadonly } from '../object.ts';
import { type CellContext, labelsText, NONE, orNone, type Printer, printer, selectorText } from './printer.ts';

/** The wide cells Containers and Images. */
function containerCells(
  template: { readonly spec?: { readonly containers: readonly DeepReadonly<Container>[] } | undefined } | undefined,
): string[] {
  const containers = template?.spec?.containers ?? [];
  return [containers.map((c) => c.name).join(','), containers.map((c) => c.image ?? '').join(',')];
}

const replicaSets: readonly Printer[] = [
  printer(Kinds.replicasets, 'replicaSet', (o, c) => [
    o.metadata.name,
    o.spec?.replicas ?? 0,
    o.status?.replicas ?? 0,
    o.status?.readyReplicas ?? 0,
    c.age(o.metadata.creationTimestamp),
    ...containerCells(o.spec?.template),
    selectorText(o.spec?.selector),
  ]),
  printer(Kinds.replicationcontrollers, 'replicationController', (o, c) => [
    o.metadata.name,
    o.spec?.replicas ?? 0,
    o.status?.replicas ?? 0,
    o.status?.readyReplicas ?? 0,
    c.age(o.metadata.creationTimestamp),
    ...containerCells(o.spec?.template),
    labelsText(o.spec?.selector),
  ]),
];

export const workloadPrinters: readonly Printer[] = [
  ...replicaSets,
  printer(Kinds.deployments, 'deployment', (o, c) => [
    o.metadata.name,
    `${o.status?.readyReplicas ?? 0}/${o.spec?.replicas ?? 0}`,
    o.status?.updatedReplicas ?? 0,
    o.status?.availableReplicas ?? 0,
    c.age(o.metadata.creationTimestamp),
    ...containerCells(o.spec?.template),
    selectorText(o.spec?.selector),
  ]),
  printer(Kinds.statefulsets, 'statefulSet', (o, c) => [
    o.metadata.name,
    `${o.status?.readyReplicas ?? 0}/${o.spec?.replicas ?? 0}`,
    c.age(o.metadata.creationTimestamp),
    ...containerCells(o.spec?.template),
  ]),
  printer(Kinds.daemonsets, 'daemonSet', (o, c) => [
    o.metadata.name,
    o.status?.desiredNumberScheduled ?? 0,
    o.status?.currentNumberScheduled ?? 0,
    o.status?.numberReady ?? 0,
    o.status?.updatedNumberScheduled ?? 0,
    o.status?.numberAvailable ?? 0,
    labelsText(o.spec?.template.spec?.nodeSelector),
    c.age(o.metadata.creationTimestamp),
    ...containerCells(o.spec?.template),
    selectorText(o.spec?.selector),
  ]),
  printer(Kinds.jobs, 'job', (o, c) => [
    o.metadata.name,
    jobStatus(o),
    jobCompletions(o),
    jobDuration(o, c),
    c.age(o.metadata.creationTimestamp),
    ...containerCells(o.spec?.template),
    selectorText(o.spec?.selector),
  ]),
  printer(Kinds.cronjobs, 'cronJob', (o, c) => [
    o.metadata.name,
    o.spec?.schedule ?? '',
    orNone(o.spec?.timeZone),
    o.spec?.suspend === undefined ? '<unset>' : o.spec.suspend ? 'True' : 'False',
    o.status?.active?.length ?? 0,
    o.status?.lastScheduleTime ? c.age(o.status.lastScheduleTime) : NONE,
    c.age(o.metadata.creationTimestamp),
    ...containerCells(o.spec?.jobTemplate.spec?.template),
    selectorText(o.spec?.jobTemplate.spec?.selector),
  ]),
  printer(Kinds.podtemplates, 'podTemplate', (o) => [
    o.metadata.name,
    ...containerCells(o.template),
    labelsText(o.template?.metadata?.labels),
  ]),
  printer(Kinds.controllerrevisions, 'controllerRevision', (o, c) => {
    const owner = o.metadata.ownerReferences?.find((r) => r.controller === true);
    const group = owner?.apiVersion.includes('/') ? `.${owner.apiVersion.split('/')[0]}` : '';
    return [
      o.metadata.name,
      owner === undefined ? NONE : `${owner.kind.toLowerCase()}${group}/${owner.name}`,
      o.revision,
      c.age(o.metadata.creationTimestamp),
    ];
  }),
  printer(Kinds.poddisruptionbudgets, 'podDisruptionBudget', (o, c) => [
    o.metadata.name,
    o.spec?.minAvailable === undefined ? 'N/A' : String(o.spec.minAvailable),
    o.spec?.maxUnavailable === undefined ? 'N/A' : String(o.spec.maxUnavailable),
    o.status?.disruptionsAllowed ?? 0,
    c.age(o.metadata.creationTimestamp),
  ]),
];

function jobStatus(job: DeepReadonly<Job>): string {
  const conditions = job.status?.conditions;
  if (isConditionTrue(conditions, 'Complete')) return 'Complete';
  if (isConditionTrue(conditions, 'Failed')) return 'Failed';
  if (job.metadata.deletionTimestamp) return 'Terminating';
  if (isConditionTrue(conditions, 'Suspended')) return 'Suspended';
  if (isConditionTrue(conditions, 'FailureTarget')) return 'FailureTarget';
  if (isConditionTrue(conditions, 'SuccessCriteriaMet')) return 'SuccessCriteriaMet';
  return 'Running';
}

function jobCompletions(job: DeepReadonly<Job>): string {
  const succeeded = job.status?.succeeded ?? 0;
  const { completions, parallelism = 0 } = job.spec ?? {};
  if (completions !== undefined) return `${succeeded}/${completions}`;
  return parallelism > 1 ? `${succeeded}/1 of ${parallelism}` : `${succeeded}/1`;
}

function jobDuration(job: DeepReadonly<Job>, c: CellContext): string {
  const { startTime, completionTime } = job.status ?? {};
  if (!startTime) return '';
  return durationText((completionTime ? Date.parse(completionTime) : c.nowMs) - Date.parse(startTime));
}
