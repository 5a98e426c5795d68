import { expect, test } from 'vitest';
import { Kinds } from '../gen/kinds.ts';
import { created, createErrors, updateErrors } from '../testing/prepared.ts';

const metadata = { name: 'x' };

test('priority classes', () => {
  const errors = (name: string, c: object): string[] =>
    createErrors(Kinds.priorityclasses, { metadata: { name }, ...c });
  expect(errors('x', { value: 1_000_000_000 })).toEqual([]);
  expect(errors('x', { value: 1_000_000_001, preemptionPolicy: 'X' })).toEqual([
    'value: Forbidden: maximum allowed value of a user defined priority is 1000000000',
    'preemptionPolicy: Unsupported value: "X": supported values: "PreemptLowerPriority", "Never"',
  ]);
  const prefix =
    "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: ";
  expect(errors('system-x', { value: 1 })).toEqual([`${prefix}system-x is not a known system priority class`]);
  expect(errors('system-node-critical', { value: 2_000_001_000 })).toEqual([]);
  expect(errors('system-node-critical', { value: 5 })).toEqual([
    `${prefix}value of system-node-critical PriorityClass must be 2000001000`,
  ]);
  const old = created(Kinds.priorityclasses, { metadata, value: 1 });
  expect(
    updateErrors(Kinds.priorityclasses, old, (c) => Object.assign(c, { value: 2, preemptionPolicy: 'Never' })),
  ).toEqual([
    'value: Forbidden: may not be changed in an update.',
    'preemptionPolicy: Invalid value: "Never": field is immutable',
  ]);
});

test('disruption budgets', () => {
  const errors = (spec: object): string[] => createErrors(Kinds.poddisruptionbudgets, { metadata, spec });
  expect(errors({ minAvailable: '50%' })).toEqual([]);
  expect(errors({ minAvailable: '101%', maxUnavailable: -1, unhealthyPodEvictionPolicy: 'X' })).toEqual([
    'spec: Invalid value: {"minAvailable":"101%","maxUnavailable":-1,"unhealthyPodEvictionPolicy":"X"}: minAvailable and maxUnavailable cannot be both set',
    'spec.minAvailable: Invalid value: "101%": must not be greater than 100%',
    'spec.maxUnavailable: Invalid value: -1: must be greater than or equal to 0',
    'spec.unhealthyPodEvictionPolicy: Unsupported value: "X": supported values: "AlwaysAllow", "IfHealthyBudget"',
  ]);
  const old = created(Kinds.poddisruptionbudgets, { metadata, spec: {} });
  const conditions = [{ type: 'a b', status: 'X', reason: '1' }];
  const status = { disruptionsAllowed: -1, currentHealthy: 0, desiredHealthy: 0, expectedPods: 0, conditions };
  expect(updateErrors(Kinds.poddisruptionbudgets, old, (b) => Object.assign(b, { status }), 'status')).toEqual([
    "status.conditions[0].type: Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
    'status.conditions[0].status: Unsupported value: "X": supported values: "False", "True", "Unknown"',
    'status.conditions[0].lastTransitionTime: Required value',
    "status.conditions[0].reason: Invalid value: \"1\": a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_'",
    'status.disruptionsAllowed: Invalid value: -1: must be greater than or equal to 0',
  ]);
});

test('runtime classes', () => {
  const errors = (c: object): string[] => createErrors(Kinds.runtimeclasses, { metadata, handler: 'h', ...c });
  expect(errors({ overhead: { podFixed: { cpu: '1' } } })).toEqual([]);
  const t = { key: 'a', operator: 'Exists' };
  expect(errors({ handler: 'a.b', overhead: { podFixed: { x: '1' } }, scheduling: { tolerations: [t, t] } })).toEqual([
    'handler: Invalid value: "a.b": must not contain dots',
    'overhead.limits[x]: Invalid value: "x": must be a standard resource type or fully qualified',
    'overhead.limits[x]: Invalid value: "x": must be a standard resource for containers',
    'scheduling.tolerations[1]: Duplicate value: {"key":"a","operator":"Exists"}',
  ]);
  const old = created(Kinds.runtimeclasses, { metadata, handler: 'h' });
  expect(updateErrors(Kinds.runtimeclasses, old, (c) => Object.assign(c, { handler: 'i' }))).toEqual([
    'handler: Invalid value: "i": field is immutable',
  ]);
});
