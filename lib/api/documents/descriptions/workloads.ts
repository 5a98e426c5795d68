/** Descriptions of apps, batch, autoscaling and policy: what keeps pods running. */
import type { TypeDescriptions } from './types.ts';

const replicas = 'How many pods there shall be; 1 by default.';
const minReadySeconds = 'Seconds a new pod must be ready without a crash to count as available; 0 by default.';
const observedGeneration = 'Value of `metadata.generation` that the status is about.';
const conditions = 'The aspects of its state.';
const template = 'What new pods look like.';
const revisionHistoryLimit = 'How many old revisions are kept for a rollback; 10 by default.';
const collisionCount = 'How often a name made from a hash was taken already; used to make another one.';
const maxUnavailableNote = 'a number, or a percentage of the wanted pods';

export const apps = (): TypeDescriptions => ({
  Deployment: {
    '': 'Keeps a number of equal pods running and replaces them step by step when their template changes.',
  },
  DeploymentSpec: {
    '': 'Which pods, how many, and how they are replaced.',
    replicas,
    selector: 'Chooses the pods that belong to it; the labels of the template must match. It cannot be changed.',
    template: 'What the pods look like. A change begins a rollout. The only restart policy is `Always`.',
    strategy: 'How old pods are replaced by new ones.',
    minReadySeconds,
    revisionHistoryLimit: 'How many old ReplicaSets are kept for a rollback; 10 by default.',
    paused: 'A change of the template begins no rollout until this is taken back.',
    progressDeadlineSeconds:
      'Seconds without progress after which a rollout is reported as failed (ProgressDeadlineExceeded); 600 by default. It is not stopped.',
  },
  DeploymentStrategy: {
    '': 'How old pods are replaced by new ones.',
    type: '`RollingUpdate` (default) or `Recreate` (all old ones go before the first new one comes).',
    rollingUpdate: 'Settings of `RollingUpdate`.',
  },
  RollingUpdateDeployment: {
    '': 'How far a rollout may depart from the wanted number of pods.',
    maxUnavailable: `How many pods may be missing: ${maxUnavailableNote}, rounded down; 25% by default. Not 0 if \`maxSurge\` is 0.`,
    maxSurge: `How many pods there may be too many: ${maxUnavailableNote}, rounded up; 25% by default.`,
  },
  DeploymentStatus: {
    '': 'What was last observed.',
    observedGeneration,
    replicas: 'How many pods there are, of all revisions.',
    updatedReplicas: 'How many of them are of the present template.',
    readyReplicas: 'How many are ready.',
    availableReplicas: 'How many are available.',
    unavailableReplicas: 'How many are still missing.',
    terminatingReplicas: 'How many are about to end; they count in no other number.',
    conditions: 'The aspects of its state: Available, Progressing, ReplicaFailure.',
    collisionCount,
  },
  DeploymentCondition: {
    '': 'One aspect of the state of a deployment.',
    lastUpdateTime: 'When it was last looked at.',
  },
  ReplicaSet: { '': 'Keeps a number of equal pods running. Usually made by a Deployment.' },
  ReplicaSetSpec: {
    '': 'Which pods, and how many.',
    replicas,
    minReadySeconds,
    selector: 'Chooses the pods that belong to it; the labels of the template must match. It cannot be changed.',
    template,
  },
  ReplicaSetStatus: {
    '': 'What was last observed.',
    replicas: 'How many pods there are.',
    fullyLabeledReplicas: 'How many of them have all labels of the template.',
    readyReplicas: 'How many are ready.',
    availableReplicas: 'How many are available.',
    terminatingReplicas: 'How many are about to end; they count in no other number.',
    observedGeneration,
    conditions,
  },
  ReplicaSetCondition: { '': 'One aspect of the state of a replica set.' },
  StatefulSet: {
    '': 'Keeps pods with lasting names, numbers and volumes running, each the successor of the one before it.',
  },
  StatefulSetSpec: {
    '': 'Which pods, how many, and how they are kept.',
    replicas,
    selector: 'Chooses the pods that belong to it; the labels of the template must match. It cannot be changed.',
    template: 'What the pods look like. Each is called `<name>-<number>`.',
    volumeClaimTemplates:
      'Claims that each pod gets of its own; they keep their content when the pod is replaced. They cannot be changed.',
    serviceName: 'Headless service that gives the pods their DNS names. It cannot be changed.',
    podManagementPolicy: '`OrderedReady` (default; one after another) or `Parallel`.',
    updateStrategy: 'How pods are replaced when the template changes.',
    revisionHistoryLimit,
    minReadySeconds,
    persistentVolumeClaimRetentionPolicy: 'What becomes of the claims of pods that are gone.',
    ordinals: 'Numbering of the pods.',
  },
  StatefulSetUpdateStrategy: {
    '': 'How pods are replaced when the template changes.',
    type: '`RollingUpdate` (default; the highest number first) or `OnDelete` (when someone deletes them).',
    rollingUpdate: 'Settings of `RollingUpdate`.',
  },
  RollingUpdateStatefulSetStrategy: {
    '': 'How far an update goes and how fast.',
    partition: 'Only pods with this number or a higher one are updated; 0 by default.',
    maxUnavailable: `How many pods may be missing at once: ${maxUnavailableNote}, rounded up; 1 by default.`,
  },
  StatefulSetPersistentVolumeClaimRetentionPolicy: {
    '': 'What becomes of the claims of pods that are gone.',
    whenDeleted: 'When the set is deleted: `Retain` (default) or `Delete`.',
    whenScaled: 'When the set becomes smaller: `Retain` (default) or `Delete`.',
  },
  StatefulSetOrdinals: { '': 'Numbering of the pods.', start: 'Number of the first pod; 0 by default.' },
  StatefulSetStatus: {
    '': 'What was last observed.',
    observedGeneration,
    replicas: 'How many pods there are.',
    readyReplicas: 'How many are ready.',
    currentReplicas: 'How many are of the current revision.',
    updatedReplicas: 'How many are of the update revision.',
    currentRevision: 'Revision of the pods that are not updated yet.',
    updateRevision: 'Revision of the pods that are updated.',
    collisionCount,
    conditions,
    availableReplicas: 'How many are available.',
  },
  StatefulSetCondition: { '': 'One aspect of the state of a stateful set.' },
  DaemonSet: { '': 'Keeps one pod running on each node, or on each of certain nodes.' },
  DaemonSetSpec: {
    '': 'Which pods, on which nodes.',
    selector: 'Chooses the pods that belong to it; the labels of the template must match. It cannot be changed.',
    template:
      'What the pods look like. They run on every node that fits its node selector and affinity and whose taints it tolerates.',
    updateStrategy: 'How pods are replaced when the template changes.',
    minReadySeconds,
    revisionHistoryLimit,
  },
  DaemonSetUpdateStrategy: {
    '': 'How pods are replaced when the template changes.',
    type: '`RollingUpdate` (default) or `OnDelete` (when someone deletes them).',
    rollingUpdate: 'Settings of `RollingUpdate`.',
  },
  RollingUpdateDaemonSet: {
    '': 'How far an update may depart from one pod on each node.',
    maxUnavailable: `How many nodes may be without an available pod: ${maxUnavailableNote}, rounded up; 1 by default. Not 0 if \`maxSurge\` is 0.`,
    maxSurge: `How many nodes may have the new pod beside the old one: ${maxUnavailableNote}, rounded up; 0 by default.`,
  },
  DaemonSetStatus: {
    '': 'What was last observed.',
    currentNumberScheduled: 'How many nodes have at least one pod as they should.',
    numberMisscheduled: 'How many nodes have a pod and should not.',
    desiredNumberScheduled: 'How many nodes should have a pod.',
    numberReady: 'How many of these have a ready pod.',
    observedGeneration,
    updatedNumberScheduled: 'How many have a pod of the present template.',
    numberAvailable: 'How many have an available pod.',
    numberUnavailable: 'How many have no available pod.',
    collisionCount,
    conditions,
  },
  DaemonSetCondition: { '': 'One aspect of the state of a daemon set.' },
  ControllerRevision: {
    '': 'A state of a StatefulSet or DaemonSet, kept by its controller for updates and rollbacks. It cannot be changed.',
    data: 'The state.',
    revision: 'Number of the revision.',
  },
});

export const batch = (): TypeDescriptions => ({
  Job: { '': 'Runs pods until a number of them has ended well.' },
  JobSpec: {
    '': 'Which pods, how many, and what counts as success or failure.',
    parallelism: 'How many pods may run at once; 1 by default, 0 pauses the job.',
    completions:
      'How many pods must succeed. Absent: one success ends the job, and pods may run side by side as in a work queue.',
    activeDeadlineSeconds: 'Seconds the job may be active before it is ended and counts as failed.',
    podFailurePolicy: 'What a failed pod means, by exit codes and conditions. Needs `restartPolicy: Never`.',
    successPolicy: 'When an indexed job has succeeded before all indexes have. Absent: when all have.',
    backoffLimit: 'How many failures of pods are put up with; 6 by default.',
    backoffLimitPerIndex: 'How many failures of one index are put up with. Only for indexed jobs.',
    maxFailedIndexes: 'How many indexes may fail. Only with `backoffLimitPerIndex`.',
    selector: 'Chooses the pods that belong to it. Made by the server; leave it alone.',
    manualSelector: 'The selector is set by you, and you see to it that it fits no pods of others.',
    template: 'What the pods look like. The restart policy must be `Never` or `OnFailure`.',
    ttlSecondsAfterFinished: 'Seconds after its end when the job is deleted. Absent: never.',
    completionMode: '`NonIndexed` (default) or `Indexed` (each pod gets a number from 0 to `completions` - 1).',
    suspend: 'No pods run while this is true; those that run are ended.',
    podReplacementPolicy:
      'When an ended pod is replaced: `TerminatingOrFailed` (default without a failure policy) or `Failed` (once it is over).',
    managedBy: 'Controller in charge; the built-in one if absent. It cannot be changed.',
  },
  JobStatus: {
    '': 'What was last observed.',
    conditions: 'The aspects of its state: Complete, Failed, Suspended and others.',
    startTime: 'When the job controller took it up; set anew when it is resumed.',
    completionTime: 'When it succeeded.',
    active: 'How many pods are pending or running and not ending.',
    succeeded: 'How many pods ended well.',
    failed: 'How many pods failed.',
    terminating: 'How many pods are about to end.',
    completedIndexes: 'Indexes that succeeded, such as `1,3-5,7`.',
    failedIndexes: 'Indexes that failed for good, in the same form.',
    uncountedTerminatedPods: 'Pods that have ended and are not in the counters yet.',
    ready: 'How many active pods are ready.',
  },
  JobCondition: { '': 'One aspect of the state of a job.', lastProbeTime: 'When it was last looked at.' },
  UncountedTerminatedPods: {
    '': 'Pods that have ended and are not in the counters yet.',
    succeeded: 'Identities of those that ended well.',
    failed: 'Identities of those that failed.',
  },
  PodFailurePolicy: {
    '': 'What a failed pod means.',
    rules: 'Rules in order; the first that matches decides. At most 20.',
  },
  PodFailurePolicyRule: {
    '': 'What a pod that failed in a certain way means. Either exit codes or conditions are given.',
    action: '`FailJob`, `FailIndex`, `Ignore` (not counted, replaced) or `Count` (as without a rule).',
    onExitCodes: 'Exit codes it is for.',
    onPodConditions: 'Conditions of the pod it is for, one of which must match.',
  },
  PodFailurePolicyOnExitCodesRequirement: {
    '': 'Exit codes of containers.',
    containerName: 'The container; any if absent.',
    operator: '`In` or `NotIn` the values. Code 0 never matches.',
    values: 'Exit codes, in order and without duplicates.',
  },
  PodFailurePolicyOnPodConditionsPattern: {
    '': 'A condition of a pod.',
    type: 'Type of the condition.',
    status: 'Its status; `True` by default.',
  },
  SuccessPolicy: { '': 'When an indexed job has succeeded.', rules: 'Rules, one of which must be fulfilled.' },
  SuccessPolicyRule: {
    '': 'A set of indexes that must succeed, a number of them, or both.',
    succeededIndexes: 'Indexes, such as `1,3-5,7`.',
    succeededCount: 'How many of them, or of all, must succeed.',
  },
  CronJob: { '': 'Makes jobs at certain times.' },
  CronJobSpec: {
    '': 'When jobs are made and what they look like.',
    schedule: 'When: five fields of cron (minute, hour, day of month, month, day of week), or `@hourly` and the like.',
    timeZone: 'Time zone of the schedule by its IANA name; that of the control plane if absent.',
    startingDeadlineSeconds: 'How late a job may still be made; a missed one is skipped.',
    concurrencyPolicy:
      'What happens when the job before still runs: `Allow` (default), `Forbid` (the new one is skipped) or `Replace`.',
    suspend: 'No further jobs are made; those that run go on.',
    jobTemplate: 'What the jobs look like.',
    successfulJobsHistoryLimit: 'How many jobs that succeeded are kept; 3 by default.',
    failedJobsHistoryLimit: 'How many jobs that failed are kept; 1 by default.',
  },
  CronJobStatus: {
    '': 'What was last observed.',
    active: 'Jobs that run.',
    lastScheduleTime: 'When a job was last due and made.',
    lastSuccessfulTime: 'When a job last succeeded.',
  },
  JobTemplateSpec: {
    '': 'What jobs made from a template look like.',
    metadata: 'Labels and annotations that the jobs get.',
    spec: 'The spec of the jobs.',
  },
});

export const policy = (): TypeDescriptions => ({
  PodDisruptionBudget: { '': 'How many pods of a set may be missing because of evictions, such as those of a drain.' },
  PodDisruptionBudgetSpec: {
    '': 'Which pods, and how many must stay. Only one of the two numbers is set.',
    minAvailable: 'How many must stay healthy after an eviction: a number or a percentage.',
    selector: 'Chooses the pods. An empty selector chooses all of the namespace.',
    maxUnavailable: 'How many may be missing after an eviction: a number or a percentage.',
    unhealthyPodEvictionPolicy:
      'When running pods that are not ready may be evicted: `IfHealthyBudget` (default; if enough others are healthy) or `AlwaysAllow`.',
  },
  PodDisruptionBudgetStatus: {
    '': 'What was last observed.',
    observedGeneration,
    disruptedPods: 'Pods whose eviction was granted and that are not gone yet, with the time.',
    disruptionsAllowed: 'How many evictions are allowed now.',
    currentHealthy: 'How many pods are healthy.',
    desiredHealthy: 'How many must be.',
    expectedPods: 'How many pods are counted.',
    conditions: 'The aspects of its state: DisruptionAllowed.',
  },
  Eviction: {
    '': 'Asks for a pod to be ended, if its disruption budgets allow it. Posted to the `eviction` subresource of the pod.',
    deleteOptions: 'How the pod is deleted.',
  },
});
