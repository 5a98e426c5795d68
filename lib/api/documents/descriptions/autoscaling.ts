/** Descriptions of autoscaling: HorizontalPodAutoscaler in both versions, and the scale subresource. */
import type { TypeDescriptions } from './types.ts';

const target = {
  '': 'Names the object that is scaled or measured.',
  kind: 'Kind of the object.',
  name: 'Name of the object.',
  apiVersion: 'Group and version of the object.',
};
const kinds = {
  type: 'Which of the following is set: `Resource`, `ContainerResource`, `Pods`, `Object` or `External`.',
  object: 'A figure of one object.',
  pods: 'A figure of each pod, averaged.',
  resource: 'CPU or memory of the pods.',
  containerResource: 'CPU or memory of one container of the pods.',
  external: 'A figure from outside the cluster.',
};
const scaleTargetRef = 'What is scaled: an object with a `scale` subresource, such as a Deployment.';
const minReplicas = 'The fewest pods; 1 by default.';
const maxReplicas = 'The most pods; not below `minReplicas`.';
const hpa = 'Changes the number of pods of a workload by what is measured.';
const observedGeneration = 'Value of `metadata.generation` that the status is about.';
const scaleStatus = {
  observedGeneration,
  lastScaleTime: 'When the number of pods was last changed.',
  currentReplicas: 'How many pods there are.',
  desiredReplicas: 'How many there should be.',
};

export const autoscalingV1 = (): TypeDescriptions => ({
  CrossVersionObjectReference: target,
  HorizontalPodAutoscaler: { '': hpa },
  HorizontalPodAutoscalerSpec: {
    '': 'What is scaled, and within which bounds.',
    scaleTargetRef,
    minReplicas,
    maxReplicas,
    targetCPUUtilizationPercentage: 'CPU that the pods shall use on average, in percent of their requests.',
  },
  HorizontalPodAutoscalerStatus: {
    '': 'What was last observed.',
    ...scaleStatus,
    currentCPUUtilizationPercentage: 'CPU that the pods use on average, in percent of their requests.',
  },
  Scale: { '': 'How many pods a workload has and shall have.' },
  ScaleSpec: { '': 'The wish.', replicas: 'How many pods there shall be.' },
  ScaleStatus: {
    '': 'What was last observed.',
    replicas: 'How many pods there are.',
    selector: 'Labels of the pods, as text for queries.',
  },
});

export const autoscalingV2 = (): TypeDescriptions => ({
  CrossVersionObjectReference: target,
  HorizontalPodAutoscaler: { '': hpa },
  HorizontalPodAutoscalerSpec: {
    '': 'What is scaled, by what, and within which bounds.',
    scaleTargetRef,
    minReplicas,
    maxReplicas,
    metrics:
      'What is measured. The largest number of pods that any of them asks for counts. Absent: CPU at 80 percent.',
    behavior: 'How fast the number may grow and shrink.',
  },
  MetricSpec: { '': 'Something measured and what it shall be.', ...kinds },
  ObjectMetricSource: {
    '': 'A figure of one object and what it shall be.',
    describedObject: 'The object.',
    target: 'What it shall be.',
    metric: 'The figure.',
  },
  PodsMetricSource: {
    '': 'A figure of each pod and what it shall be on average.',
    metric: 'The figure.',
    target: 'What it shall be.',
  },
  ResourceMetricSource: {
    '': 'A resource of the pods and how much of it shall be used.',
    name: '`cpu` or `memory`.',
    target: 'What it shall be.',
  },
  ContainerResourceMetricSource: {
    '': 'A resource of one container of the pods and how much of it shall be used.',
    name: '`cpu` or `memory`.',
    target: 'What it shall be.',
    container: 'Name of the container.',
  },
  ExternalMetricSource: {
    '': 'A figure from outside the cluster and what it shall be.',
    metric: 'The figure.',
    target: 'What it shall be.',
  },
  MetricIdentifier: { '': 'Names a figure.', name: 'Name of the figure.', selector: 'Labels of its series.' },
  MetricTarget: {
    '': 'What a figure shall be.',
    type: '`Utilization`, `Value` or `AverageValue`.',
    value: 'The whole.',
    averageValue: 'The average of the pods.',
    averageUtilization: 'The average of the pods in percent of their requests; for resources only.',
  },
  HorizontalPodAutoscalerBehavior: {
    '': 'How fast the number of pods may grow and shrink.',
    scaleUp: 'For growing. By default four pods or twice as many each 15 seconds, whichever is more, without delay.',
    scaleDown: 'For shrinking. By default without a bound, after 300 seconds.',
  },
  HPAScalingRules: {
    '': 'How fast the number of pods may change in one direction.',
    stabilizationWindowSeconds:
      'Seconds of past wishes that are heeded: the least change among them counts. 0 for growing, 300 for shrinking by default; at most 3600.',
    selectPolicy: 'Which policy counts: `Max` (default), `Min` or `Disabled` (no change in this direction).',
    policies: 'Bounds of the change; the default ones of the direction if empty.',
    tolerance: 'How far a figure may be off, as a fraction, without any change; 0.1 by default.',
  },
  HPAScalingPolicy: {
    '': 'How much may change within a time.',
    type: '`Pods` (a number) or `Percent` (of those there are).',
    value: 'How much; above 0.',
    periodSeconds: 'Within how many seconds; from 1 to 1800.',
  },
  HorizontalPodAutoscalerStatus: {
    '': 'What was last observed.',
    ...scaleStatus,
    currentMetrics: 'What was measured.',
    conditions: 'The aspects of its state: AbleToScale, ScalingActive, ScalingLimited.',
  },
  HorizontalPodAutoscalerCondition: { '': 'One aspect of the state of an autoscaler.' },
  MetricStatus: { '': 'Something measured and what it is.', ...kinds },
  ObjectMetricStatus: {
    '': 'A figure of one object.',
    metric: 'The figure.',
    current: 'What it is.',
    describedObject: 'The object.',
  },
  PodsMetricStatus: { '': 'A figure of each pod, averaged.', metric: 'The figure.', current: 'What it is.' },
  ResourceMetricStatus: { '': 'A resource of the pods.', name: '`cpu` or `memory`.', current: 'What it is.' },
  ContainerResourceMetricStatus: {
    '': 'A resource of one container of the pods.',
    name: '`cpu` or `memory`.',
    current: 'What it is.',
    container: 'Name of the container.',
  },
  ExternalMetricStatus: { '': 'A figure from outside the cluster.', metric: 'The figure.', current: 'What it is.' },
  MetricValueStatus: {
    '': 'What a figure is.',
    value: 'The whole.',
    averageValue: 'The average of the pods.',
    averageUtilization: 'The average of the pods in percent of their requests.',
  },
});
