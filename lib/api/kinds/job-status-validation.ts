/**
 * What a status of a job may become, whoever runs the job (KEP-4368 managedBy). Rules look at what this update changes, so
 * that a status that was wrong before can still be updated elsewhere.
 * Source: pkg/apis/batch/validation/validation.go, pkg/registry/batch/job/strategy.go getStatusValidationOptions.
 */
import { semanticEqual } from '../equality.ts';
import { duplicate, type FieldError, invalid, omitted, required } from '../field-error.ts';
import type { Job, JobStatus } from '../gen/types/batch-v1.ts';
import { Errors, eachItem } from '../validation/field-path.ts';
import { overlapOf, parseIndexes } from './job-policy-validation.ts';

/** One job's status with the questions the rules ask. */
interface View {
  readonly status: JobStatus;
  readonly is: (condition: string, status?: string) => boolean;
  readonly isFinished: boolean;
}

function viewOf({ status = {} }: Job): View {
  const is = (type: string, value = 'True'): boolean =>
    (status.conditions ?? []).some((c) => c.type === type && c.status === value);
  return { status, is, isFinished: is('Complete') || is('Failed') };
}

export function validateJobStatusUpdate(next: Job, previous: Job): FieldError[] {
  const [now, before] = [viewOf(next), viewOf(previous)];
  const errors = new Errors();
  errors.add(...validateCounts(now.status));
  errors.add(...validateTimes(next, now, before));
  errors.add(...validateFinished(next, now, before));
  errors.add(...validateIndexes(next, now, before));
  errors.add(...validateConditions(next, now, before));
  errors.add(...validateTransition(next, now, before));
  return errors.list;
}

function validateCounts(status: JobStatus): FieldError[] {
  const errors = new Errors();
  for (const name of ['active', 'succeeded', 'failed', 'ready', 'terminating'] as const)
    errors.notNegative(`status.${name}`, status[name]);
  const seen = new Set<string>();
  for (const name of ['succeeded', 'failed'] as const)
    eachItem(status.uncountedTerminatedPods?.[name], `status.uncountedTerminatedPods.${name}`, (uid, at) => {
      if (uid === '') errors.add(invalid(at, uid, 'must not be empty'));
      else if (seen.has(uid)) errors.add(duplicate(at, uid));
      seen.add(uid);
    });
  return errors.list;
}

function validateTimes({ spec }: Job, now: View, before: View): FieldError[] {
  const errors = new Errors();
  const { startTime, completionTime } = now.status;
  const at = 'status.completionTime';
  const isChanged = completionTime !== before.status.completionTime;
  const isStartChanged = startTime !== before.status.startTime;
  if (isChanged || now.is('Complete') !== before.is('Complete')) {
    if (completionTime !== undefined && !now.is('Complete'))
      errors.add(invalid(at, completionTime, 'cannot set completionTime when there is no Complete=True condition'));
    if (completionTime === undefined && now.is('Complete'))
      errors.add(required(at, 'completionTime is required for Complete jobs'));
  }
  if ((isChanged || isStartChanged) && startTime !== undefined && completionTime !== undefined)
    if (Date.parse(completionTime) < Date.parse(startTime))
      errors.add(invalid(at, completionTime, 'must be equal to or after `startTime`'));
  if (isChanged && completionTime !== undefined && before.status.completionTime !== undefined)
    errors.add(invalid(at, completionTime, 'field is immutable'));
  const isResuming = before.is('Suspended') && now.is('Suspended', 'False');
  if (isStartChanged && !isResuming && before.status.startTime !== undefined && spec.suspend !== true)
    errors.add(invalid('status.startTime', startTime, 'field is immutable for unsuspended job once set'));
  return errors.list;
}

function validateFinished({ spec }: Job, now: View, before: View): FieldError[] {
  const errors = new Errors();
  const { status } = now;
  const has = (name: keyof JobStatus): boolean =>
    now.isFinished !== before.isFinished || !semanticEqual(status[name], before.status[name]);
  const isSuspendedWithoutWork = spec.suspend === true && spec.completions === 0;
  const uncounted = status.uncountedTerminatedPods;
  if (now.isFinished) {
    if (has('active') && (status.active ?? 0) > 0)
      errors.add(invalid('status.active', status.active, 'active>0 is invalid for finished job'));
    if (has('startTime') && status.startTime === undefined && !isSuspendedWithoutWork)
      errors.add(required('status.startTime', 'startTime is required for finished job'));
    if (has('uncountedTerminatedPods') && (uncounted?.failed?.length ?? 0) + (uncounted?.succeeded?.length ?? 0) > 0)
      errors.add(invalid('status.uncountedTerminatedPods', uncounted, 'must be empty for finished job'));
    if (has('terminating') && (status.terminating ?? 0) > 0)
      errors.add(invalid('status.terminating', status.terminating, 'terminating>0 is invalid for finished job'));
  }
  const isReadyChanged = status.ready !== before.status.ready || (status.active ?? 0) !== (before.status.active ?? 0);
  if (isReadyChanged && status.ready !== undefined && status.ready > (status.active ?? 0))
    errors.add(invalid('status.ready', status.ready, 'cannot set more ready pods than active'));
  return errors.list;
}

function validateIndexes({ spec }: Job, now: View, before: View): FieldError[] {
  const errors = new Errors();
  const { completedIndexes: completed = '', failedIndexes: failed } = now.status;
  const { completions, backoffLimitPerIndex } = spec;
  const isCompletedChanged = completed !== (before.status.completedIndexes ?? '');
  const isFailedChanged = failed !== before.status.failedIndexes;
  const parsed = parseIndexes(completed, completions ?? 0);
  const parsedFailed = parseIndexes(failed ?? '', completions ?? 0);
  const [at, atFailed] = ['status.completedIndexes', 'status.failedIndexes'];
  if (isCompletedChanged && completions !== undefined && typeof parsed === 'string')
    errors.add(invalid(at, completed, `error parsing completedIndexes: ${parsed}`));
  if (isFailedChanged && completions !== undefined && backoffLimitPerIndex !== undefined)
    if (typeof parsedFailed === 'string')
      errors.add(invalid(atFailed, failed, `error parsing failedIndexes: ${parsedFailed}`));
  if (isCompletedChanged && completed !== '' && spec.completionMode !== 'Indexed')
    errors.add(invalid(at, completed, 'cannot set non-empty completedIndexes when non-indexed completion mode'));
  if (isFailedChanged && failed !== undefined && backoffLimitPerIndex === undefined)
    errors.add(invalid(atFailed, failed, 'cannot set non-null failedIndexes when backoffLimitPerIndex is null'));
  if (!isCompletedChanged && !isFailedChanged) return errors.list;
  if (failed === undefined || completions === undefined) return errors.list;
  if (typeof parsed === 'string' || typeof parsedFailed === 'string') return errors.list;
  const both = overlapOf(parsed, parsedFailed);
  if (both !== undefined)
    errors.add(invalid(atFailed, failed, `failedIndexes and completedIndexes overlap at index: ${both}`));
  return errors.list;
}

/** Pairs that cannot both be true, and conditions that another one must precede. */
function validateConditions({ spec }: Job, now: View, before: View): FieldError[] {
  const path = 'status.conditions';
  const errors = new Errors();
  const isChanged = (...types: string[]): boolean => types.some((t) => now.is(t) !== before.is(t));
  const refuse = (isWrong: boolean, detail: string): void => {
    if (isWrong) errors.add(omitted(path, detail));
  };
  const isFailedChanged = isChanged('Failed') || now.status.failedIndexes !== before.status.failedIndexes;
  refuse(
    isChanged('Complete', 'Failed') && now.is('Complete') && now.is('Failed'),
    'cannot set Complete=True and Failed=true conditions',
  );
  refuse(
    isChanged('Complete', 'FailureTarget') && now.is('Complete') && now.is('FailureTarget'),
    'cannot set Complete=True and FailureTarget=true conditions',
  );
  refuse(
    isFailedChanged && now.is('Failed') && !now.is('FailureTarget'),
    'cannot set Failed=True condition without the FailureTarget=true condition',
  );
  refuse(
    isChanged('Complete', 'SuccessCriteriaMet') && now.is('Complete') && !now.is('SuccessCriteriaMet'),
    'cannot set Complete=True condition without the SuccessCriteriaMet=true condition',
  );
  refuse(
    now.is('SuccessCriteriaMet') && now.is('Failed'),
    'cannot set SuccessCriteriaMet=True and Failed=true conditions',
  );
  refuse(
    now.is('SuccessCriteriaMet') && now.is('FailureTarget'),
    'cannot set SuccessCriteriaMet=True and FailureTarget=true conditions',
  );
  refuse(
    spec.successPolicy !== undefined && !now.is('SuccessCriteriaMet') && now.is('Complete'),
    'cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True',
  );
  return errors.list;
}

function validateTransition({ spec }: Job, now: View, before: View): FieldError[] {
  const errors = new Errors();
  for (const type of ['Failed', 'Complete', 'FailureTarget'])
    if (before.is(type) && !now.is(type))
      errors.add(omitted('status.conditions', `cannot disable the terminal ${type}=True condition`));
  const mayShrink = spec.completionMode === 'Indexed' && spec.completions === spec.parallelism;
  for (const name of ['failed', 'succeeded'] as const)
    if ((now.status[name] ?? 0) < (before.status[name] ?? 0) && !(name === 'succeeded' && mayShrink))
      errors.add(invalid(`status.${name}`, now.status[name] ?? 0, `cannot decrease the ${name} counter`));
  if (before.is('SuccessCriteriaMet') && !now.is('SuccessCriteriaMet'))
    errors.add(omitted('status.conditions', 'cannot disable the SuccessCriteriaMet=True condition'));
  if (before.is('Complete') && !before.is('SuccessCriteriaMet') && now.is('SuccessCriteriaMet'))
    errors.add(
      omitted('status.conditions', 'cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions'),
    );
  return errors.list;
}
