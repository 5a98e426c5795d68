import { describe, expect, test } from 'vitest';
import { Kinds } from '../gen/kinds.ts';
import { created, createErrors, updateErrors } from '../testing/prepared.ts';

const kind = Kinds.horizontalpodautoscalers;
const target = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'd' };
const hpa = (spec: object): object => ({
  metadata: { name: 'x' },
  spec: { scaleTargetRef: target, maxReplicas: 3, ...spec },
});
const errors = (spec: object): string[] => createErrors(kind, hpa(spec));
const metricErrors = (...metrics: object[]): string[] => errors({ metrics });

describe('horizontal pod autoscalers', () => {
  test('defaults: cpu at 80 percent; rules are filled when there is a behavior', () => {
    const plain = created(kind, hpa({}));
    expect(plain.spec).toMatchObject({ minReplicas: 1, metrics: [{ type: 'Resource', resource: { name: 'cpu' } }] });
    expect(plain.spec.behavior).toBeUndefined();
    const given = created(kind, hpa({ behavior: { scaleDown: { stabilizationWindowSeconds: 5 } } }));
    expect(given.spec.behavior).toEqual({
      scaleUp: {
        stabilizationWindowSeconds: 0,
        selectPolicy: 'Max',
        policies: [
          { type: 'Pods', value: 4, periodSeconds: 15 },
          { type: 'Percent', value: 100, periodSeconds: 15 },
        ],
      },
      scaleDown: {
        stabilizationWindowSeconds: 5,
        selectPolicy: 'Max',
        policies: [{ type: 'Percent', value: 100, periodSeconds: 15 }],
      },
    });
  });

  test('replicas and target', () => {
    expect(errors({})).toEqual([]);
    expect(errors({ minReplicas: 0, maxReplicas: 0 })).toEqual([
      'spec.minReplicas: Invalid value: 0: must be greater than or equal to 1',
      'spec.maxReplicas: Required value: must be set and greater than 0',
      'spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to zero replicas',
    ]);
    expect(errors({ minReplicas: 4 })).toEqual([
      'spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`',
    ]);
    expect(errors({ scaleTargetRef: { apiVersion: 'v1', kind: 'Deployment', name: 'a/b' } })).toEqual([
      'spec.scaleTargetRef.name: Invalid value: "a/b": may not contain \'/\'',
      'spec.scaleTargetRef.apiVersion: Invalid value: "v1": apiVersion must specify API group',
    ]);
    expect(errors({ scaleTargetRef: { apiVersion: 'v1', kind: 'ReplicationController', name: 'a' } })).toEqual([]);
    expect(errors({ scaleTargetRef: { ...target, apiVersion: 'a/b/c' } })).toEqual([
      'spec.scaleTargetRef.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c',
    ]);
    const old = created(kind, hpa({}));
    old.spec.scaleTargetRef.apiVersion = 'v1';
    expect(updateErrors(kind, old, (h) => Object.assign(h.spec, { maxReplicas: 5 }))).toEqual([]);
  });

  test('metrics', () => {
    const metric = { name: 'm' };
    expect(metricErrors({ type: 'X' })).toContain(
      'spec.metrics[0].type: Unsupported value: "X": supported values: "ContainerResource", "External", "Object", "Pods", "Resource"',
    );
    expect(metricErrors({ type: 'Pods' })).toEqual([
      'spec.metrics[0].pods: Required value: must populate information for the given metric source',
    ]);
    const pods = { metric, target: { type: 'AverageValue', averageValue: '0' } };
    const external = { metric, target: { type: 'Value', value: '1', averageValue: '1' } };
    expect(
      metricErrors({ type: 'Pods', pods }, { type: 'External', external }, { type: 'Pods', pods, external }),
    ).toEqual([
      'spec.metrics[0].pods.target.averageValue: Invalid value: "0": must be positive',
      'spec.metrics[1].external.target.value: Forbidden: may not set both a target value for metric and a per-pod target',
      'spec.metrics[2].external.target.value: Forbidden: may not set both a target value for metric and a per-pod target',
      'spec.metrics[2].external: Forbidden: must populate the given metric source only',
    ]);
    const utilization = { type: 'Utilization', averageUtilization: 0 };
    expect(metricErrors({ type: 'Resource', resource: { name: 'cpu', target: utilization } })).toEqual([
      'spec.metrics[0].resource.target.averageUtilization: Invalid value: 0: must be greater than 0',
    ]);
    const containerResource = { name: 'nope', container: '', target: { type: 'Utilization' } };
    expect(metricErrors({ type: 'ContainerResource', containerResource })).toEqual([
      'spec.metrics[0].containerResource.name: Invalid value: "nope": must be a standard resource type or fully qualified',
      'spec.metrics[0].containerResource.name: Invalid value: "nope": must be a standard resource for containers',
      'spec.metrics[0].containerResource.container: Required value: must specify a container',
      'spec.metrics[0].containerResource.target.averageUtilization: Required value: must set either a target raw value or a target utilization',
    ]);
    const object = { metric: { name: '' }, describedObject: { kind: 'S', name: 'n' }, target: { type: 'Z' } };
    expect(metricErrors({ type: 'Object', object })).toEqual([
      'spec.metrics[0].object.metric.name: Required value: must specify a metric name',
      'spec.metrics[0].object.target.type: Invalid value: "Z": must be either Utilization, Value, or AverageValue',
      'spec.metrics[0].object.target.averageValue: Required value: must set either a target value or averageValue',
    ]);
  });

  test('behavior', () => {
    const policies = [{ type: 'X', value: 0, periodSeconds: 1801 }];
    expect(errors({ behavior: { scaleUp: { policies, stabilizationWindowSeconds: 3601, tolerance: '-1' } } })).toEqual([
      'spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal to 3600',
      'spec.behavior.scaleUp.policies[0].type: Unsupported value: "X": supported values: "Percent", "Pods"',
      'spec.behavior.scaleUp.policies[0].value: Invalid value: 0: must be greater than zero',
      'spec.behavior.scaleUp.policies[0].periodSeconds: Invalid value: 1801: must be less than or equal to 1800',
      'spec.behavior.scaleUp.tolerance: Invalid value: "-1": must be greater than or equal to 0',
    ]);
  });
});
