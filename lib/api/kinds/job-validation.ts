/** Jobs and cron jobs. Source: pkg/apis/batch/validation/validation.go, pkg/registry/batch/job/strategy.go. */
import { semanticEqual } from '../equality.ts';
import { type FieldError, invalid, notSupported, required, tooLong } from '../field-error.ts';
import type { CronJob, Job, JobSpec } from '../gen/types/batch-v1.ts';
import type { Container, PodTemplateSpec } from '../gen/types/core-v1.ts';
import { cronScheduleError, timeZone } from '../validation/cron-schedule.ts';
import { Errors, isGiven } from '../validation/field-path.ts';
import { validateLabelSelector } from '../validation/metadata.ts';
import { dns1123Label, validateDomainPrefixedPath } from '../validation/names.ts';
import { selectorMatches } from '../validation/selector-match.ts';
import type { ValidationOptions } from '../validation.ts';
import { validatePodFailurePolicy, validateSuccessPolicy } from './job-policy-validation.ts';
import { validatePodTemplate } from './pod-validation.ts';

const MANAGED_BY_BYTES_MAX = 63;
const INDEXED_PARALLELISM_MAX = 100_000;
const FAILED_INDEXES_MAX = 100_000;
const COMPLETIONS_SOFT_MAX = 100_000;
const HIGH_COMPLETIONS_MAX = 10_000;

export const UID_LABEL = 'batch.kubernetes.io/controller-uid';
export const NAME_LABEL = 'batch.kubernetes.io/job-name';
export const LEGACY_UID_LABEL = 'controller-uid';
export const LEGACY_NAME_LABEL = 'job-name';

export function validateJob(job: Job, _options: ValidationOptions, previous?: Job): FieldError[] {
  const { metadata, spec } = job;
  const errors = new Errors();
  errors.add(...validateGeneratedSelector(job, previous));
  errors.add(...validateJobSpec(spec, 'spec'));
  if (spec.selector === undefined) errors.add(required('spec.selector'));
  else errors.add(...validateLabelSelector(spec.selector, 'spec.selector'));
  const labels = spec.template?.metadata?.labels;
  if (spec.selector !== undefined && !selectorMatches(spec.selector, labels))
    errors.add(invalid('spec.template.metadata.labels', labels ?? null, '`selector` does not match template `labels`'));
  if (spec.completionMode === 'Indexed' && (spec.completions ?? 0) > 0) {
    const hostname = `${metadata.name}-${(spec.completions ?? 0) - 1}`;
    if (dns1123Label(hostname).length > 0)
      errors.add(
        invalid('metadata.name', metadata.name, `will not able to create pod with invalid DNS label: ${hostname}`),
      );
  }
  return errors.list;
}

/** Labels that the strategy has put on the template, which a client may have contradicted. */
function validateGeneratedSelector({ metadata, spec }: Job, previous: Job | undefined): FieldError[] {
  if (spec.manualSelector === true || spec.selector === undefined) return [];
  const errors = new Errors();
  const uid = metadata.uid ?? '';
  if (uid === '') errors.add(required('metadata.uid'));
  const before = previous?.spec.template?.metadata?.labels;
  const needsPrefixed =
    previous === undefined || (before?.[NAME_LABEL] !== undefined && before[UID_LABEL] !== undefined);
  const expected: Record<string, string> = { [LEGACY_UID_LABEL]: uid, [LEGACY_NAME_LABEL]: metadata.name };
  if (needsPrefixed) Object.assign(expected, { [UID_LABEL]: uid, [NAME_LABEL]: metadata.name });
  const labels = spec.template?.metadata?.labels;
  for (const [key, value] of Object.entries(expected)) {
    const at = `spec.template.metadata.labels[${key}]`;
    if (labels?.[key] === undefined) errors.add(required(at, `must be '${value}'`));
    else if (labels[key] !== value) errors.add(invalid(at, labels, `must be '${value}'`));
  }
  if (!selectorMatches(spec.selector, expected))
    errors.add(invalid('spec.selector', spec.selector, '`selector` not auto-generated'));
  return errors.list;
}

function validateJobSpec(spec: JobSpec, path: string): FieldError[] {
  const errors = new Errors();
  for (const name of [
    'parallelism',
    'completions',
    'activeDeadlineSeconds',
    'backoffLimit',
    'ttlSecondsAfterFinished',
    'backoffLimitPerIndex',
    'maxFailedIndexes',
  ] as const)
    errors.notNegative(`${path}.${name}`, spec[name]);
  if (spec.maxFailedIndexes !== undefined && spec.backoffLimitPerIndex === undefined)
    errors.add(required(`${path}.backoffLimitPerIndex`, 'when maxFailedIndexes is specified'));
  if (spec.managedBy !== undefined) {
    errors.add(...validateDomainPrefixedPath(spec.managedBy, `${path}.managedBy`));
    if (Buffer.byteLength(spec.managedBy) > MANAGED_BY_BYTES_MAX)
      errors.add(tooLong(`${path}.managedBy`, MANAGED_BY_BYTES_MAX));
  }
  errors.oneOf(`${path}.completionMode`, spec.completionMode, ['NonIndexed', 'Indexed']);
  if (spec.completionMode === 'Indexed') errors.add(...validateIndexed(spec, path));
  else if (spec.completionMode === undefined || spec.completionMode === 'NonIndexed')
    for (const name of ['backoffLimitPerIndex', 'maxFailedIndexes'] as const)
      if (spec[name] !== undefined)
        errors.add(invalid(`${path}.${name}`, spec[name], 'requires indexed completion mode'));
  if (spec.podFailurePolicy !== undefined) errors.add(...validatePodFailurePolicy(spec, `${path}.podFailurePolicy`));
  if (spec.successPolicy !== undefined) {
    if (spec.completionMode !== 'Indexed')
      errors.add(invalid(`${path}.successPolicy`, spec.successPolicy, 'requires indexed completion mode'));
    else errors.add(...validateSuccessPolicy(spec, `${path}.successPolicy`));
  }
  const replacements = spec.podFailurePolicy === undefined ? ['Failed', 'TerminatingOrFailed'] : ['Failed'];
  errors.oneOf(`${path}.podReplacementPolicy`, spec.podReplacementPolicy, replacements);
  errors.add(...validatePodTemplate(spec.template, `${path}.template`));
  errors.add(...validateRestartPolicy(spec, `${path}.template.spec.restartPolicy`));
  return errors.list;
}

function validateRestartPolicy(spec: JobSpec, path: string): FieldError[] {
  const policy = spec.template?.spec?.restartPolicy ?? '';
  if (policy === '' || policy === 'Always') return [required(path, 'valid values: "OnFailure", "Never"')];
  if (policy !== 'OnFailure' && policy !== 'Never') return [notSupported(path, policy, ['OnFailure', 'Never'])];
  if (spec.podFailurePolicy === undefined || policy === 'Never') return [];
  return [invalid(path, policy, 'only "Never" is supported when podFailurePolicy is specified')];
}

function validateIndexed(spec: JobSpec, path: string): FieldError[] {
  const errors = new Errors();
  const { completions, parallelism, maxFailedIndexes } = spec;
  if (completions === undefined) errors.add(required(`${path}.completions`, 'when completion mode is Indexed'));
  if (parallelism !== undefined && parallelism > INDEXED_PARALLELISM_MAX)
    errors.add(
      invalid(
        `${path}.parallelism`,
        parallelism,
        `must be less than or equal to ${INDEXED_PARALLELISM_MAX} when completion mode is Indexed`,
      ),
    );
  if (maxFailedIndexes !== undefined) {
    const at = `${path}.maxFailedIndexes`;
    if (completions !== undefined && maxFailedIndexes > completions)
      errors.add(invalid(at, maxFailedIndexes, 'must be less than or equal to completions'));
    if (maxFailedIndexes > FAILED_INDEXES_MAX)
      errors.add(invalid(at, maxFailedIndexes, `must be less than or equal to ${FAILED_INDEXES_MAX}`));
  }
  if ((completions ?? 0) <= COMPLETIONS_SOFT_MAX || spec.backoffLimitPerIndex === undefined) return errors.list;
  if (maxFailedIndexes === undefined)
    errors.add(
      required(`${path}.maxFailedIndexes`, `must be specified when completions is above ${COMPLETIONS_SOFT_MAX}`),
    );
  for (const name of ['parallelism', 'maxFailedIndexes'] as const)
    if ((spec[name] ?? 0) > HIGH_COMPLETIONS_MAX)
      errors.add(
        invalid(
          `${path}.${name}`,
          spec[name],
          `must be less than or equal to ${HIGH_COMPLETIONS_MAX} when completions are above ${COMPLETIONS_SOFT_MAX} and used with backoff limit per index`,
        ),
      );
  return errors.list;
}

export function validateJobUpdate(next: Job, previous: Job): FieldError[] {
  const errors = new Errors();
  const { spec } = next;
  const { spec: old } = previous;
  if (spec.completionMode !== 'Indexed') errors.immutable('spec.completions', spec.completions, old.completions);
  else if (
    spec.completions !== undefined &&
    spec.completions !== old.completions &&
    spec.completions !== spec.parallelism
  )
    errors.add(invalid('spec.completions', spec.completions, 'can only be modified in tandem with spec.parallelism'));
  errors.immutable('spec.selector', spec.selector, old.selector);
  errors.add(...validateTemplateUpdate(next, previous));
  for (const name of [
    'completionMode',
    'podFailurePolicy',
    'backoffLimitPerIndex',
    'managedBy',
    'successPolicy',
  ] as const)
    errors.immutable(`spec.${name}`, spec[name], old[name]);
  return errors.list;
}

/** A suspended job without pods: where its pods may run and what they may use can still be changed. */
function validateTemplateUpdate(next: Job, previous: Job): FieldError[] {
  const errors = new Errors();
  const { template } = next.spec;
  const isSuspended = previous.spec.suspend === true;
  const conditions = previous.status?.conditions ?? [];
  const isMutable =
    isSuspended &&
    (previous.status?.startTime === undefined ||
      conditions.some((c) => c.type === 'Suspended' && c.status === 'True')) &&
    (previous.status?.active ?? 0) === 0;
  const expected = structuredClone(previous.spec.template);
  if (isMutable) takeSchedulingDirectives(expected, template);
  if (!isMutable) {
    errors.immutable('spec.template', template, expected);
    return errors.list;
  }
  takeResources(expected.spec?.containers, template.spec?.containers);
  takeResources(expected.spec?.initContainers, template.spec?.initContainers);
  errors.immutable('spec.template.spec', template.spec, expected.spec);
  return errors.list;
}

function takeSchedulingDirectives(into: PodTemplateSpec, from: PodTemplateSpec): void {
  const [target, source] = [into.spec, from.spec];
  if (target === undefined || source === undefined) return;
  const { nodeAffinity: _, ...others } = target.affinity ?? {};
  const nodeAffinity = source.affinity?.nodeAffinity;
  const affinity = nodeAffinity === undefined ? others : { ...others, nodeAffinity };
  if (source.affinity === undefined && semanticEqual(affinity, {})) delete target.affinity;
  else target.affinity = affinity;
  target.nodeSelector = source.nodeSelector;
  target.tolerations = source.tolerations;
  target.schedulingGates = source.schedulingGates;
}

function takeResources(into: Container[] | null | undefined, from: Container[] | null | undefined): void {
  if (!isGiven(into) || !isGiven(from) || into.length !== from.length) return;
  for (const [i, c] of into.entries()) if (from[i]?.name === c.name) c.resources = from[i].resources;
}

// --- cron jobs ---

export function validateCronJob({ spec }: CronJob, _options: ValidationOptions, previous?: CronJob): FieldError[] {
  const errors = new Errors();
  if (!spec.schedule) errors.add(required('spec.schedule'));
  else errors.add(...validateSchedule(spec, previous?.spec.schedule.includes('TZ') === true));
  errors.notNegative('spec.startingDeadlineSeconds', spec.startingDeadlineSeconds);
  if (spec.timeZone !== undefined && previous?.spec.timeZone !== spec.timeZone)
    errors.check('spec.timeZone', spec.timeZone, timeZone);
  errors.requiredOneOf('spec.concurrencyPolicy', spec.concurrencyPolicy, ['Allow', 'Forbid', 'Replace']);
  const job = spec.jobTemplate?.spec;
  if (job !== undefined) {
    const path = 'spec.jobTemplate.spec';
    errors.add(...validateJobSpec(job, path));
    if (job.selector !== undefined)
      errors.add(invalid(`${path}.selector`, job.selector, '`selector` will be auto-generated'));
    if (job.manualSelector === true) errors.add(notSupported(`${path}.manualSelector`, true, ['nil', 'false']));
  }
  errors.notNegative('spec.successfulJobsHistoryLimit', spec.successfulJobsHistoryLimit);
  errors.notNegative('spec.failedJobsHistoryLimit', spec.failedJobsHistoryLimit);
  return errors.list;
}

/** A schedule that had a zone before zones were refused may keep it. */
function validateSchedule({ schedule, timeZone: zone }: CronJob['spec'], mayHaveZone: boolean): FieldError[] {
  const path = 'spec.schedule';
  const errors = new Errors();
  const wrong = cronScheduleError(schedule);
  if (wrong !== undefined) errors.add(invalid(path, schedule, wrong));
  if (!schedule.includes('TZ')) return errors.list;
  if (!mayHaveZone)
    errors.add(invalid(path, schedule, 'cannot use TZ or CRON_TZ in schedule, use timeZone field instead'));
  else if (zone !== undefined)
    errors.add(invalid(path, schedule, 'cannot use both timeZone field and TZ or CRON_TZ in schedule'));
  return errors.list;
}

const CRON_NAME_MAX = 52;

/** The controller appends eleven characters to make the job's name. */
export function validateNewCronJob({ metadata }: CronJob): FieldError[] {
  if ((metadata.name ?? '').length <= CRON_NAME_MAX) return [];
  return [invalid('metadata.name', metadata.name, `must be no more than ${CRON_NAME_MAX} characters`)];
}
