/** Webhook configurations and what policies share with them. Source: pkg/apis/admissionregistration/validation/validation.go. */
import { semanticEqual } from '../equality.ts';
import { duplicate, type FieldError, invalid, required, tooMany } from '../field-error.ts';
import type {
  MatchCondition,
  MutatingWebhookConfiguration,
  RuleWithOperations,
  ValidatingWebhook,
  ValidatingWebhookConfiguration,
} from '../gen/types/admissionregistration-v1.ts';
import { Errors, eachItem, isGiven } from '../validation/field-path.ts';
import { validateLabelSelector } from '../validation/metadata.ts';
import { dns1035Label, dns1123Subdomain, qualifiedName } from '../validation/names.ts';
import { validateWebhookService, validateWebhookUrl } from '../validation/webhook-client.ts';
import type { ExpressionUse, ValidationOptions } from '../validation.ts';

const OPERATIONS = ['*', 'CONNECT', 'CREATE', 'DELETE', 'UPDATE'];
const SCOPES = ['*', 'Cluster', 'Namespaced'];
const REVIEW_VERSIONS = ['v1', 'v1beta1'];
const HARMLESS = ['None', 'NoneOnDryRun'];
const SIDE_EFFECTS = ['None', 'NoneOnDryRun', 'Some', 'Unknown'];
const CONDITIONS_MAX = 64;
const TIMEOUT_SECONDS_MAX = 30;
export const FAILURE_POLICIES = ['Fail', 'Ignore'];
export const MATCH_POLICIES = ['Equivalent', 'Exact'];
export const REINVOCATIONS = ['IfNeeded', 'Never'];

type Webhook = ValidatingWebhook & { reinvocationPolicy?: string | undefined };
type Configuration = ValidatingWebhookConfiguration | MutatingWebhookConfiguration;

/** Checks one expression at a path. */
export type CheckAt = (use: ExpressionUse, path: string) => FieldError[];

export function checkerOf(options: ValidationOptions): CheckAt {
  const check = options.expressions?.();
  return (use, path) => (check?.(use) ?? []).map((m) => invalid(path, use.expression, m));
}

/** What an update may keep because it was there before. */
interface Tolerance {
  readonly sideEffects: boolean;
  readonly reviewVersions: boolean;
  readonly doubleNames: boolean;
  readonly conditions: boolean;
  readonly expressions: ReadonlySet<string>;
}

export function validateWebhooks(c: Configuration, options: ValidationOptions, previous?: Configuration): FieldError[] {
  const errors = new Errors();
  const hooks: readonly Webhook[] = c.webhooks ?? [];
  const tolerance = toleranceOf(hooks, previous?.webhooks);
  const check = checkerOf(options);
  const names = new Set<string>();
  eachItem(hooks, 'webhooks', (hook, at) => {
    errors.add(...validateWebhook(hook, tolerance, check, at));
    errors.add(...validateReviewVersions(hook, tolerance, `${at}.admissionReviewVersions`));
    if (!hook.name || tolerance.doubleNames) return;
    if (names.has(hook.name)) errors.add(duplicate(`${at}.name`, hook.name));
    names.add(hook.name);
  });
  return errors.list;
}

function toleranceOf(hooks: readonly Webhook[], old: readonly Webhook[] | undefined): Tolerance {
  const versionsOf = (h: Webhook): string[] => h.admissionReviewVersions ?? [];
  return {
    sideEffects: old?.some((h) => !HARMLESS.includes(h.sideEffects ?? '')) === true,
    reviewVersions:
      old?.some((h) => versionsOf(h).length > 0 && !versionsOf(h).some((v) => REVIEW_VERSIONS.includes(v))) === true,
    doubleNames: old !== undefined && new Set(old.map((h) => h.name)).size < old.length,
    conditions:
      old !== undefined &&
      old.length === hooks.length &&
      old.every((h, i) => semanticEqual(h.matchConditions, hooks[i]?.matchConditions)),
    expressions: new Set((old ?? []).flatMap((h) => h.matchConditions ?? []).map((m) => m.expression)),
  };
}

function validateWebhook(hook: Webhook, tolerance: Tolerance, check: CheckAt, path: string): FieldError[] {
  const errors = new Errors();
  errors.add(...validateFullName(hook.name ?? '', `${path}.name`));
  eachItem(hook.rules, `${path}.rules`, (rule, at) => errors.add(...validateRule(rule, at)));
  errors.oneOf(`${path}.failurePolicy`, hook.failurePolicy, FAILURE_POLICIES);
  errors.oneOf(`${path}.matchPolicy`, hook.matchPolicy, MATCH_POLICIES);
  const effects = tolerance.sideEffects ? SIDE_EFFECTS : HARMLESS;
  if (!isGiven(hook.sideEffects))
    errors.add(required(`${path}.sideEffects`, `must specify one of ${effects.join(', ')}`));
  else errors.oneOf(`${path}.sideEffects`, hook.sideEffects, effects);
  const { timeoutSeconds: timeout } = hook;
  if (timeout !== undefined && (timeout > TIMEOUT_SECONDS_MAX || timeout < 1))
    errors.add(invalid(`${path}.timeoutSeconds`, timeout, 'the timeout value must be between 1 and 30 seconds'));
  errors.add(...validateLabelSelector(hook.namespaceSelector, `${path}.namespaceSelector`));
  errors.add(...validateLabelSelector(hook.objectSelector, `${path}.objectSelector`));
  errors.oneOf(`${path}.reinvocationPolicy`, hook.reinvocationPolicy, REINVOCATIONS);
  const { url, service } = hook.clientConfig ?? {};
  if ((url === undefined) === (service === undefined))
    errors.add(required(`${path}.clientConfig`, 'exactly one of url or service is required'));
  else if (url !== undefined) errors.add(...validateWebhookUrl(url, `${path}.clientConfig.url`));
  else if (service !== undefined) errors.add(...validateWebhookService(service, `${path}.clientConfig.service`));
  if (tolerance.conditions) return errors.list;
  const uses = { hasParams: false, stored: tolerance.expressions, check };
  errors.add(...validateMatchConditions(hook.matchConditions, uses, `${path}.matchConditions`));
  return errors.list;
}

/** At least three labels: `name.example.com`. */
function validateFullName(name: string, path: string): FieldError[] {
  if (name === '') return [required(path)];
  const wrong = dns1123Subdomain(name);
  if (wrong.length > 0) return [invalid(path, name, wrong.join(','))];
  if (name.split('.').length >= 3) return [];
  return [invalid(path, name, 'should be a domain with at least three segments separated by dots')];
}

function validateReviewVersions(hook: Webhook, tolerance: Tolerance, path: string): FieldError[] {
  const versions = hook.admissionReviewVersions ?? [];
  const accepted = REVIEW_VERSIONS.join(', ');
  if (versions.length === 0) return [required(path, `must specify one of ${accepted}`)];
  const errors = new Errors();
  eachItem(versions, path, (v, at, i) => {
    if (versions.indexOf(v) < i) errors.add(invalid(at, v, 'duplicate version'));
    else errors.check(at, v, dns1035Label);
  });
  if (!tolerance.reviewVersions && !versions.some((v) => REVIEW_VERSIONS.includes(v)))
    errors.add(invalid(path, versions, `must include at least one of ${accepted}`));
  return errors.list;
}

// --- rules, as policies have them too ---

export function validateRule(rule: RuleWithOperations, path: string): FieldError[] {
  const errors = new Errors();
  const operations = rule.operations ?? [];
  errors.add(...validateAlone(operations, `${path}.operations`, 'operations'));
  eachItem(operations, `${path}.operations`, (o, at) => errors.oneOf(at, o, OPERATIONS));
  errors.add(...validateAlone(rule.apiGroups ?? [], `${path}.apiGroups`, 'API groups'));
  errors.add(...validateAlone(rule.apiVersions ?? [], `${path}.apiVersions`, 'API versions'));
  eachItem(rule.apiVersions, `${path}.apiVersions`, (v, at) => {
    if (v === '') errors.add(required(at));
  });
  errors.add(...validateResourceNames(rule.resources ?? [], `${path}.resources`));
  errors.oneOf(`${path}.scope`, rule.scope, SCOPES);
  return errors.list;
}

/** Not empty, and `*` alone. */
function validateAlone(list: readonly string[], path: string, others: string): FieldError[] {
  if (list.length === 0) return [required(path)];
  if (list.length === 1 || !list.includes('*')) return [];
  return [invalid(path, list, `if '*' is present, must not specify other ${others}`)];
}

/** `pods`, `pods/status`, with `*` on either side; nothing that another entry says already. */
function validateResourceNames(resources: readonly string[], path: string): FieldError[] {
  if (resources.length === 0) return [required(path)];
  const errors = new Errors();
  const wholes = new Set<string>();
  const subs = new Set<string>();
  let hasPlain = false;
  eachItem(resources, path, (text, at) => {
    if (text === '') {
      errors.add(required(at));
      return;
    }
    const slash = text.indexOf('/');
    if (slash < 0) {
      // As in Kubernetes, the last one without a slash decides.
      hasPlain = text !== '*';
      return;
    }
    const [resource, sub] = [text.slice(0, slash), text.slice(slash + 1)];
    if (wholes.has(resource)) errors.add(invalid(at, text, `if '${resource}/*' is present, must not specify ${text}`));
    if (subs.has(sub)) errors.add(invalid(at, text, `if '*/${sub}' is present, must not specify ${text}`));
    if (sub === '*') wholes.add(resource);
    if (resource === '*') subs.add(sub);
  });
  if (resources.length > 1 && resources.includes('*/*'))
    errors.add(invalid(path, resources, "if '*/*' is present, must not specify other resources"));
  if (resources.includes('*') && hasPlain)
    errors.add(invalid(path, resources, "if '*' is present, must not specify other resources without subresources"));
  return errors.list;
}

export function validateMatchConditions(
  conditions: readonly MatchCondition[] | undefined,
  o: { hasParams: boolean; stored: ReadonlySet<string>; check: CheckAt },
  path: string,
): FieldError[] {
  const errors = new Errors();
  const count = conditions?.length ?? 0;
  if (count > CONDITIONS_MAX) errors.add(tooMany(path, count, CONDITIONS_MAX));
  const names = new Set<string>();
  eachItem(conditions, path, (c, at) => {
    const expression = (c.expression ?? '').trim();
    if (expression === '') errors.add(required(`${at}.expression`));
    else {
      const isStored = o.stored.has(c.expression);
      const use = {
        kind: 'matchCondition',
        expression,
        hasParams: o.hasParams,
        hasAuthorizer: true,
        isStored,
      } as const;
      errors.add(...o.check(use, `${at}.expression`));
    }
    errors.checkRequired(`${at}.name`, c.name, qualifiedName);
    if (!c.name) return;
    if (names.has(c.name)) errors.add(duplicate(`${at}.name`, c.name));
    names.add(c.name);
  });
  return errors.list;
}
