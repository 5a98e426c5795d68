/** Defaults of apps, batch and autoscaling. Source: pkg/apis/{apps,batch,autoscaling}/v*\/defaults.go. */
import type { DaemonSet, Deployment, ReplicaSet, StatefulSet } from '../gen/types/apps-v1.ts';
import type { HorizontalPodAutoscaler, HPAScalingRules } from '../gen/types/autoscaling-v2.ts';
import type { CronJob, Job } from '../gen/types/batch-v1.ts';
import { type DefaultsTable, on } from './defaults-table.ts';

export const WORKLOAD_DEFAULTS: DefaultsTable = {
  'apps/v1.Deployment': on<Deployment>(({ spec }) => {
    spec.replicas ??= 1;
    spec.strategy ??= {};
    spec.strategy.type ||= 'RollingUpdate';
    if (spec.strategy.type === 'RollingUpdate') {
      spec.strategy.rollingUpdate ??= {};
      spec.strategy.rollingUpdate.maxUnavailable ??= '25%';
      spec.strategy.rollingUpdate.maxSurge ??= '25%';
    }
    spec.revisionHistoryLimit ??= 10;
    spec.progressDeadlineSeconds ??= 600;
  }),
  'apps/v1.ReplicaSet': on<ReplicaSet>(({ spec }) => {
    spec.replicas ??= 1;
  }),
  'apps/v1.DaemonSet': on<DaemonSet>(({ spec }) => {
    spec.updateStrategy ??= {};
    spec.updateStrategy.type ||= 'RollingUpdate';
    if (spec.updateStrategy.type === 'RollingUpdate') {
      spec.updateStrategy.rollingUpdate ??= {};
      spec.updateStrategy.rollingUpdate.maxUnavailable ??= 1;
      spec.updateStrategy.rollingUpdate.maxSurge ??= 0;
    }
    spec.revisionHistoryLimit ??= 10;
  }),
  'apps/v1.StatefulSet': on<StatefulSet>(defaultStatefulSet),
  'autoscaling/v1.HorizontalPodAutoscaler': on<{ spec: { minReplicas?: number } }>(({ spec }) => {
    spec.minReplicas ??= 1;
  }),
  'autoscaling/v2.HorizontalPodAutoscaler': on<HorizontalPodAutoscaler>(({ spec }) => {
    spec.minReplicas ??= 1;
    if ((spec.metrics?.length ?? 0) === 0)
      spec.metrics = [
        { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 80 } } },
      ];
    if (spec.behavior === undefined) return;
    spec.behavior.scaleUp = { ...structuredClone(SCALE_UP), ...withoutEmpty(spec.behavior.scaleUp) };
    spec.behavior.scaleDown = { ...structuredClone(SCALE_DOWN), ...withoutEmpty(spec.behavior.scaleDown) };
  }),
};

const FIFTEEN_SECONDS = 15;
const SCALE_DOWN: HPAScalingRules = Object.freeze({
  selectPolicy: 'Max',
  policies: [{ type: 'Percent', value: 100, periodSeconds: FIFTEEN_SECONDS }],
});
const SCALE_UP: HPAScalingRules = Object.freeze({
  stabilizationWindowSeconds: 0,
  selectPolicy: 'Max',
  policies: [
    { type: 'Pods', value: 4, periodSeconds: FIFTEEN_SECONDS },
    { type: 'Percent', value: 100, periodSeconds: FIFTEEN_SECONDS },
  ],
});

/** Fields that are given. */
function withoutEmpty(rules: HPAScalingRules = {}): HPAScalingRules {
  return Object.fromEntries(Object.entries(rules).filter(([, v]) => v !== undefined && v !== null));
}

const INT32_MAX = 2 ** 31 - 1;

export const BATCH_DEFAULTS: DefaultsTable = {
  'batch/v1.Job': on<Job>(({ metadata, spec }) => {
    defaultJobSpec(spec);
    const labels = spec.template?.metadata?.labels;
    if (labels !== undefined && Object.keys(metadata.labels ?? {}).length === 0) metadata.labels = { ...labels };
  }),
  'batch/v1.CronJob': on<CronJob>(({ spec }) => {
    spec.concurrencyPolicy ||= 'Allow';
    spec.suspend ??= false;
    spec.successfulJobsHistoryLimit ??= 3;
    spec.failedJobsHistoryLimit ??= 1;
  }),
  'batch/v1.PodFailurePolicyOnPodConditionsPattern': on<{ status?: string }>((p) => {
    p.status ||= 'True';
  }),
};

/** Only for jobs, not for the template inside a CronJob. */
function defaultJobSpec(spec: Job['spec']): void {
  if (spec.completions === undefined && spec.parallelism === undefined) spec.completions = 1;
  spec.parallelism ??= 1;
  spec.backoffLimit ??= spec.backoffLimitPerIndex === undefined ? 6 : INT32_MAX;
  spec.completionMode ??= 'NonIndexed';
  spec.suspend ??= false;
  spec.podReplacementPolicy ??= spec.podFailurePolicy === undefined ? 'TerminatingOrFailed' : 'Failed';
  spec.manualSelector ??= false;
}

function defaultStatefulSet({ spec }: StatefulSet): void {
  spec.podManagementPolicy ||= 'OrderedReady';
  spec.updateStrategy ??= {};
  spec.updateStrategy.type ||= 'RollingUpdate';
  if (spec.updateStrategy.type === 'RollingUpdate') {
    spec.updateStrategy.rollingUpdate ??= {};
    spec.updateStrategy.rollingUpdate.partition ??= 0;
  }
  spec.persistentVolumeClaimRetentionPolicy ??= {};
  spec.persistentVolumeClaimRetentionPolicy.whenDeleted ||= 'Retain';
  spec.persistentVolumeClaimRetentionPolicy.whenScaled ||= 'Retain';
  spec.replicas ??= 1;
  spec.revisionHistoryLimit ??= 10;
  for (const claim of spec.volumeClaimTemplates ?? []) {
    claim.apiVersion = 'v1';
    claim.kind = 'PersistentVolumeClaim';
  }
}
