import { describe, expect, test } from 'vitest';
import { Kinds } from '../gen/kinds.ts';
import type { Job } from '../gen/types/batch-v1.ts';
import { created, createErrors, updateErrors } from '../testing/prepared.ts';
import { cronScheduleError, durationError, timeZone } from '../validation/cron-schedule.ts';
import { parseIndexes } from './job-policy-validation.ts';

const template = { spec: { restartPolicy: 'Never', containers: [{ name: 'a', image: 'i' }] } };
const metadata = { name: 'x' };
const job = (spec: object): object => ({ metadata, spec: { template, ...spec } });
const indexed = (spec: object): object => job({ completionMode: 'Indexed', completions: 5, parallelism: 2, ...spec });
const jobErrors = (spec: object): string[] => createErrors(Kinds.jobs, job(spec));
const indexedErrors = (spec: object): string[] => createErrors(Kinds.jobs, indexed(spec));
const cronErrors = (spec: object): string[] =>
  createErrors(Kinds.cronjobs, {
    metadata,
    spec: { schedule: '@daily', jobTemplate: { spec: { template } }, ...spec },
  });

describe('jobs', () => {
  test('the selector is made from the uid; labels a client has set are not replaced but refused', () => {
    const plain = created(Kinds.jobs, job({}));
    expect(plain.spec.selector).toEqual({ matchLabels: { 'batch.kubernetes.io/controller-uid': 'uid-1' } });
    expect(plain.spec.template.metadata?.labels).toMatchObject({ 'job-name': 'x', 'controller-uid': 'uid-1' });
    expect(jobErrors({})).toEqual([]);
    const labelled = { ...template, metadata: { labels: { 'job-name': 'other' } } };
    expect(jobErrors({ template: labelled })[0]).toMatch(
      /^spec\.template\.metadata\.labels\[job-name\]: Invalid value: \{.*"job-name":"other".*\}: must be 'x'$/,
    );
    expect(jobErrors({ manualSelector: true })).toEqual(['spec.selector: Required value']);
    expect(jobErrors({ manualSelector: true, selector: { matchLabels: { a: 'b' } } })).toEqual([
      'spec.template.metadata.labels: Invalid value: null: `selector` does not match template `labels`',
    ]);
  });

  test('counts and modes', () => {
    expect(jobErrors({ parallelism: -1, backoffLimitPerIndex: 1, maxFailedIndexes: 1 })).toEqual([
      'spec.parallelism: Invalid value: -1: must be greater than or equal to 0',
      'spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode',
      'spec.maxFailedIndexes: Invalid value: 1: requires indexed completion mode',
    ]);
    expect(jobErrors({ completionMode: 'X' })).toEqual([
      'spec.completionMode: Unsupported value: "X": supported values: "NonIndexed", "Indexed"',
    ]);
    expect(jobErrors({ completionMode: 'Indexed', parallelism: 1 })).toEqual([
      'spec.completions: Required value: when completion mode is Indexed',
    ]);
    expect(indexedErrors({ parallelism: 100_001, maxFailedIndexes: 6 })).toEqual([
      'spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified',
      'spec.parallelism: Invalid value: 100001: must be less than or equal to 100000 when completion mode is Indexed',
      'spec.maxFailedIndexes: Invalid value: 6: must be less than or equal to completions',
    ]);
    expect(indexedErrors({ completions: 100_001, parallelism: 10_001, backoffLimitPerIndex: 1 })).toEqual([
      'spec.maxFailedIndexes: Required value: must be specified when completions is above 100000',
      'spec.parallelism: Invalid value: 10001: must be less than or equal to 10000 when completions are above 100000 and used with backoff limit per index',
    ]);
    const long = { ...indexed({}), metadata: { name: 'x'.repeat(62) } };
    expect(createErrors(Kinds.jobs, long)).toContain(
      `metadata.name: Invalid value: "${'x'.repeat(62)}": will not able to create pod with invalid DNS label: ${'x'.repeat(62)}-4`,
    );
  });

  test('managedBy', () => {
    expect(jobErrors({ managedBy: 'acme.io/x' })).toEqual([]);
    expect(jobErrors({ managedBy: 'x' })).toEqual([
      'spec.managedBy: Invalid value: "x": must be a domain-prefixed path (such as "acme.io/foo")',
    ]);
    expect(jobErrors({ managedBy: 'acme.io/a b' })).toEqual([
      `spec.managedBy: Invalid value: "a b": Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')`,
    ]);
    expect(jobErrors({ managedBy: `acme.io/${'x'.repeat(56)}` })).toEqual([
      'spec.managedBy: Too long: may not be more than 63 bytes',
    ]);
  });

  test('restart policy and podFailurePolicy', () => {
    const withPolicy = (restartPolicy: string, policy?: object): string[] =>
      jobErrors({
        template: { spec: { ...template.spec, restartPolicy } },
        ...(policy === undefined ? {} : { podFailurePolicy: policy }),
      });
    expect(withPolicy('Always')).toEqual([
      'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
    ]);
    const ignore = { rules: [{ action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget' }] }] };
    expect(withPolicy('Never', ignore)).toEqual([]);
    expect(withPolicy('OnFailure', ignore)).toEqual([
      'spec.template.spec.restartPolicy: Invalid value: "OnFailure": only "Never" is supported when podFailurePolicy is specified',
    ]);
    const rules = [
      { action: 'FailIndex', onExitCodes: { operator: 'In', values: [3, 0, 3], containerName: 'b' } },
      { action: '' },
    ];
    expect(withPolicy('Never', { rules })).toEqual([
      'spec.podFailurePolicy.rules[0].action: Invalid value: "FailIndex": requires the backoffLimitPerIndex to be set',
      'spec.podFailurePolicy.rules[0].onExitCodes.containerName: Invalid value: "b": must be one of the container or initContainer names in the pod template',
      'spec.podFailurePolicy.rules[0].onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator',
      'spec.podFailurePolicy.rules[0].onExitCodes.values[2]: Duplicate value: 3',
      'spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [3,0,3]: must be ordered',
      'spec.podFailurePolicy.rules[1].action: Required value: valid values: ["Count" "FailIndex" "FailJob" "Ignore"]',
      'spec.podFailurePolicy.rules[1]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required',
    ]);
    expect(jobErrors({ podFailurePolicy: ignore, podReplacementPolicy: 'TerminatingOrFailed' })).toEqual([
      'spec.podReplacementPolicy: Unsupported value: "TerminatingOrFailed": supported values: "Failed"',
    ]);
  });

  test('successPolicy', () => {
    expect(jobErrors({ successPolicy: { rules: [] } })).toEqual([
      'spec.successPolicy: Invalid value: {"rules":[]}: requires indexed completion mode',
    ]);
    const rules = [{ succeededIndexes: '0,2-4', succeededCount: 5 }, {}, { succeededIndexes: '4-3' }];
    expect(indexedErrors({ successPolicy: { rules } })).toEqual([
      'spec.successPolicy.rules[0].succeededCount: Invalid value: 5: must be less than or equal to 4 (the number of indexes in the specified succeededIndexes field)',
      'spec.successPolicy.rules[1]: Required value: at least one of succeededCount or succeededIndexes must be specified',
      'spec.successPolicy.rules[2].succeededIndexes: Invalid value: "4-3": error parsing succeededIndexes: non-increasing order, previous: 4, current: 3',
    ]);
    expect(parseIndexes('1,3-5', 9)).toEqual([
      [1, 1],
      [3, 5],
    ]);
    expect(parseIndexes('1-2-3', 9)).toMatch(/^the fragment "1-2-3" violates/);
    expect(parseIndexes('x', 9)).toBe('cannot convert string to integer for index: "x"');
    expect(parseIndexes('9', 9)).toBe('too large index: "9"');
    expect(parseIndexes('3,3', 9)).toBe('non-increasing order, previous: 3, current: 3');
  });
});

describe('updates of jobs', () => {
  const update = (spec: object, change: (j: Job) => void, status: object = {}): string[] => {
    const old = created(Kinds.jobs, job(spec));
    old.status = status;
    return updateErrors(Kinds.jobs, old, change);
  };

  test('completions of indexed jobs move with parallelism only', () => {
    expect(update({ completions: 2 }, (j) => Object.assign(j.spec, { completions: 3 }))).toEqual([
      'spec.completions: Invalid value: 3: field is immutable',
    ]);
    const both = { completionMode: 'Indexed', completions: 2, parallelism: 2 };
    expect(update(both, (j) => Object.assign(j.spec, { completions: 3, parallelism: 3 }))).toEqual([]);
    expect(update(both, (j) => Object.assign(j.spec, { completions: 3 }))).toEqual([
      'spec.completions: Invalid value: 3: can only be modified in tandem with spec.parallelism',
    ]);
    expect(update(both, (j) => Object.assign(j.spec, { managedBy: 'a.b/c' }))).toEqual([
      'spec.managedBy: Invalid value: "a.b/c": field is immutable',
    ]);
  });

  test('a suspended job without pods can change where and with what they run', () => {
    const change = (j: Job): void => {
      const spec = j.spec.template.spec;
      if (spec === undefined) return;
      spec.nodeSelector = { a: 'b' };
      spec.tolerations = [{ key: 'a', operator: 'Exists' }];
      for (const c of spec.containers) c.resources = { requests: { cpu: '2' } };
    };
    expect(update({ suspend: true }, change)).toEqual([]);
    expect(update({ suspend: true }, change, { active: 1 })[0]).toMatch(
      /^spec\.template: Invalid value: .*: field is immutable$/,
    );
    expect(update({ suspend: true }, change, { startTime: '2026-01-01T00:00:00Z' })).toHaveLength(1);
    const stopped = { startTime: '2026-01-01T00:00:00Z', conditions: [{ type: 'Suspended', status: 'True' }] };
    expect(update({ suspend: true }, change, stopped)).toEqual([]);
    expect(update({}, change)).toHaveLength(1);
    const image = (j: Job): void => {
      for (const c of j.spec.template.spec?.containers ?? []) c.image = 'other';
    };
    expect(update({ suspend: true }, image)[0]).toMatch(/^spec\.template\.spec: .*: field is immutable$/);
  });

  test('status: what finished stays finished, counters grow, indexes are well formed', () => {
    const status = (spec: object, from: object, to: object): string[] => {
      const old = created(Kinds.jobs, job(spec));
      old.status = from;
      return updateErrors(Kinds.jobs, old, (j) => Object.assign(j, { status: to }), 'status');
    };
    const on = (...types: string[]): object[] => types.map((type) => ({ type, status: 'True' }));
    const times = { startTime: '2026-01-01T00:00:01Z', completionTime: '2026-01-01T00:00:02Z' };
    const done = { ...times, conditions: on('SuccessCriteriaMet', 'Complete') };
    expect(status({}, {}, done)).toEqual([]);
    expect(status({}, {}, { conditions: on('Complete') })).toEqual([
      'status.completionTime: Required value: completionTime is required for Complete jobs',
      'status.startTime: Required value: startTime is required for finished job',
      'status.conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition',
    ]);
    expect(status({}, done, times)).toEqual([
      'status.completionTime: Invalid value: "2026-01-01T00:00:02Z": cannot set completionTime when there is no Complete=True condition',
      'status.conditions: Invalid value: cannot disable the terminal Complete=True condition',
      'status.conditions: Invalid value: cannot disable the SuccessCriteriaMet=True condition',
    ]);
    expect(status({}, { failed: 2 }, { failed: 1, ready: 1, active: 0 })).toEqual([
      'status.ready: Invalid value: 1: cannot set more ready pods than active',
      'status.failed: Invalid value: 1: cannot decrease the failed counter',
    ]);
    const perIndex = { completionMode: 'Indexed', completions: 9, backoffLimitPerIndex: 1 };
    expect(status(perIndex, {}, { completedIndexes: '0-3', failedIndexes: '3,5' })).toEqual([
      'status.failedIndexes: Invalid value: "3,5": failedIndexes and completedIndexes overlap at index: 3',
    ]);
    expect(status({ completions: 9 }, {}, { completedIndexes: '12' })).toEqual([
      'status.completedIndexes: Invalid value: "12": error parsing completedIndexes: too large index: "12"',
      'status.completedIndexes: Invalid value: "12": cannot set non-empty completedIndexes when non-indexed completion mode',
    ]);
  });
});

describe('cron jobs', () => {
  test.each([
    ['*/5 1-3,7 ? JAN-mar sun', undefined],
    ['@every 1h30m', undefined],
    ['@never', 'unrecognized descriptor: @never'],
    ['@every x', 'failed to parse duration @every x: time: invalid duration "x"'],
    ['* * * *', 'expected exactly 5 fields, found 4: [* * * *]'],
    ['60 * * * *', 'end of range (60) above maximum (59): 60'],
    ['* * 0 * *', 'beginning of range (0) below minimum (1): 0'],
    ['5-1 * * * *', 'beginning of range (5) beyond end of range (1): 5-1'],
    ['*/0 * * * *', 'step of range should be a positive number: */0'],
    ['1-2-3 * * * *', 'too many hyphens: 1-2-3'],
    ['1/2/3 * * * *', 'too many slashes: 1/2/3'],
    ['a * * * *', 'failed to parse int from a: strconv.Atoi: parsing "a": invalid syntax'],
    ['TZ=0', 'invalid schedule format: runtime error: slice bounds out of range [:-1]'],
    ['CRON_TZ=Nope/Nope 1 * * * *', 'provided bad location Nope/Nope: unknown time zone Nope/Nope'],
    ['TZ=Europe/Berlin 1 * * * *', undefined],
  ])('schedule %s', (text, error) => {
    expect(cronScheduleError(text)).toBe(error);
  });

  test('durations and zones', () => {
    expect(['1.5h', '-3ms', '0', '1h2m3s'].map(durationError)).toEqual([undefined, undefined, undefined, undefined]);
    expect(durationError('3')).toBe('time: missing unit in duration "3"');
    expect(durationError('3d')).toBe('time: unknown unit "d" in duration "3d"');
    expect(['UTC', 'Europe/Berlin', 'US/Pacific', 'Etc/GMT+5'].flatMap(timeZone)).toEqual([]);
    expect(timeZone('Local')).toEqual([
      'timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones',
    ]);
    expect(timeZone('+01')).toEqual(['unknown time zone +01']);
    expect(timeZone('../x')).toEqual(['unknown time zone ../x']);
  });

  test('schedule, zone, policy, limits, template', () => {
    expect(cronErrors({})).toEqual([]);
    expect(cronErrors({ schedule: '' })).toEqual(['spec.schedule: Required value']);
    expect(cronErrors({ schedule: 'TZ=UTC 0 * * * *', timeZone: '' })).toEqual([
      'spec.schedule: Invalid value: "TZ=UTC 0 * * * *": cannot use TZ or CRON_TZ in schedule, use timeZone field instead',
      'spec.timeZone: Invalid value: "": timeZone must be nil or non-empty string',
    ]);
    expect(cronErrors({ concurrencyPolicy: 'X', failedJobsHistoryLimit: -1 })).toEqual([
      'spec.concurrencyPolicy: Unsupported value: "X": supported values: "Allow", "Forbid", "Replace"',
      'spec.failedJobsHistoryLimit: Invalid value: -1: must be greater than or equal to 0',
    ]);
    const jobTemplate = { spec: { template, manualSelector: true, selector: { matchLabels: { a: 'b' } } } };
    expect(cronErrors({ jobTemplate })).toEqual([
      'spec.jobTemplate.spec.selector: Invalid value: {"matchLabels":{"a":"b"}}: `selector` will be auto-generated',
      'spec.jobTemplate.spec.manualSelector: Unsupported value: true: supported values: "nil", "false"',
    ]);
  });

  test('names of 52; a zone in the schedule may stay, not beside timeZone', () => {
    const named = (n: number): object => ({
      metadata: { name: 'x'.repeat(n) },
      spec: { schedule: '@daily', jobTemplate: { spec: { template } } },
    });
    expect(createErrors(Kinds.cronjobs, named(52))).toEqual([]);
    expect(createErrors(Kinds.cronjobs, named(53))[0]).toMatch(/must be no more than 52 characters$/);
    const old = created(Kinds.cronjobs, named(53));
    old.spec.schedule = 'TZ=UTC 0 * * * *';
    expect(updateErrors(Kinds.cronjobs, old, (c) => Object.assign(c.spec, { suspend: true }))).toEqual([]);
    expect(updateErrors(Kinds.cronjobs, old, (c) => Object.assign(c.spec, { timeZone: 'UTC' }))).toEqual([
      'spec.schedule: Invalid value: "TZ=UTC 0 * * * *": cannot use both timeZone field and TZ or CRON_TZ in schedule',
    ]);
  });
});
