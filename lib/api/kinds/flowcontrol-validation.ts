/** Priority and fairness. Source: pkg/apis/flowcontrol/validation/validation.go, apiserver/pkg/apis/flowcontrol/bootstrap. */
import { semanticEqual } from '../equality.ts';
import { duplicate, type FieldError, forbidden, invalid, notSupported, required } from '../field-error.ts';
import type {
  FlowSchema,
  FlowSchemaSpec,
  LimitedPriorityLevelConfiguration,
  LimitResponse,
  NonResourcePolicyRule,
  PolicyRulesWithSubjects,
  PriorityLevelConfiguration,
  PriorityLevelConfigurationSpec,
  QueuingConfiguration,
  ResourcePolicyRule,
  Subject,
} from '../gen/types/flowcontrol-v1.ts';
import { Errors, eachItem, entryOf } from '../validation/field-path.ts';
import { dns1123Label, dns1123Subdomain } from '../validation/names.ts';

const PRECEDENCE_MAX = 10_000;
const QUEUES_MAX = 10_000_000;
const HASH_BITS_MAX = 60;
const VERBS = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'proxy', 'update', 'watch'];

const EVERYTHING = {
  resourceRules: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'], clusterScope: true, namespaces: ['*'] }],
  nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }],
};
const group = (name: string): Subject => ({ kind: 'Group', group: { name } });

/** The two schemas that must be as they are. */
const MANDATORY_SCHEMAS: Readonly<Record<string, FlowSchemaSpec>> = {
  exempt: {
    priorityLevelConfiguration: { name: 'exempt' },
    matchingPrecedence: 1,
    rules: [{ subjects: [group('system:masters')], ...EVERYTHING }],
  },
  'catch-all': {
    priorityLevelConfiguration: { name: 'catch-all' },
    matchingPrecedence: PRECEDENCE_MAX,
    distinguisherMethod: { type: 'ByUser' },
    rules: [{ subjects: [group('system:unauthenticated'), group('system:authenticated')], ...EVERYTHING }],
  },
};

const CATCH_ALL_LEVEL: PriorityLevelConfigurationSpec = {
  type: 'Limited',
  limited: { nominalConcurrencyShares: 5, lendablePercent: 0, limitResponse: { type: 'Reject' } },
};

export function validateFlowSchema({ metadata: { name }, spec, status }: FlowSchema): FieldError[] {
  const errors = new Errors();
  const at = 'spec.matchingPrecedence';
  const precedence = spec.matchingPrecedence ?? 0;
  if (precedence <= 0) errors.add(invalid(at, precedence, 'must be a positive value'));
  if (precedence > PRECEDENCE_MAX) errors.add(invalid(at, precedence, `must not be greater than ${PRECEDENCE_MAX}`));
  if (precedence === 1 && name !== 'exempt')
    errors.add(invalid(at, precedence, "only the schema named 'exempt' may have matchingPrecedence 1"));
  const method = spec.distinguisherMethod;
  if (method !== undefined && !['ByNamespace', 'ByUser'].includes(method.type))
    errors.add(notSupported('spec.distinguisherMethod.type', method, ['ByNamespace', 'ByUser']));
  const level = spec.priorityLevelConfiguration?.name;
  if (level) errors.check('spec.priorityLevelConfiguration.name', level, dns1123Subdomain);
  else errors.add(required('spec.priorityLevelConfiguration.name', 'must reference a priority level'));
  eachItem(spec.rules, 'spec.rules', (rule, where) => errors.add(...validateRule(rule, where)));
  const fixed = entryOf(MANDATORY_SCHEMAS, name);
  if (fixed !== undefined && !semanticEqual(spec, fixed))
    errors.add(invalid('spec', spec, `spec of '${name}' must equal the fixed value`));
  errors.add(...validateConditionTypes(status?.conditions));
  return errors.list;
}

/** Both kinds' status. */
export function validateFlowStatus({
  status,
}: {
  status?: { conditions?: { type?: string | undefined }[] | undefined } | undefined;
}): FieldError[] {
  return validateConditionTypes(status?.conditions);
}

function validateConditionTypes(conditions: readonly { type?: string | undefined }[] | undefined): FieldError[] {
  const errors = new Errors();
  const seen = new Set<string>();
  eachItem(conditions, 'status.conditions', ({ type = '' }, at) => {
    if (seen.has(type)) errors.add(duplicate(`${at}.type`, type));
    seen.add(type);
    if (type === '') errors.add(required(`${at}.type`));
  });
  return errors.list;
}

function validateRule(rule: PolicyRulesWithSubjects, path: string): FieldError[] {
  const errors = new Errors();
  if ((rule.subjects?.length ?? 0) === 0)
    errors.add(required(`${path}.subjects`, 'subjects must contain at least one value'));
  eachItem(rule.subjects, `${path}.subjects`, (s, at) => errors.add(...validateSubject(s, at)));
  if ((rule.resourceRules?.length ?? 0) + (rule.nonResourceRules?.length ?? 0) === 0)
    errors.add(required(path, 'at least one of resourceRules and nonResourceRules has to be non-empty'));
  eachItem(rule.resourceRules, `${path}.resourceRules`, (r, at) => errors.add(...validateResourceRule(r, at)));
  eachItem(rule.nonResourceRules, `${path}.nonResourceRules`, (r, at) => errors.add(...validateUrlRule(r, at)));
  return errors.list;
}

const SUBJECTS = { ServiceAccount: 'serviceAccount', User: 'user', Group: 'group' } as const;

function validateSubject(s: Subject, path: string): FieldError[] {
  const errors = new Errors();
  const own = Object.hasOwn(SUBJECTS, s.kind) ? SUBJECTS[s.kind as keyof typeof SUBJECTS] : undefined;
  if (own === undefined) return [notSupported(`${path}.kind`, s.kind, ['Group', 'ServiceAccount', 'User'])];
  if (s[own] === undefined)
    errors.add(required(`${path}.${own}`, `${own} is required when subject kind is '${s.kind}'`));
  else if (!s[own].name) errors.add(required(`${path}.${own}.name`));
  const account = s.serviceAccount;
  if (own === 'serviceAccount' && account !== undefined) {
    if (account.name && account.name !== '*') errors.check(`${path}.${own}.name`, account.name, dns1123Subdomain);
    if (account.namespace) errors.check(`${path}.${own}.namespace`, account.namespace, dns1123Label);
    else errors.add(required(`${path}.${own}.namespace`, 'must specify namespace for service account'));
  }
  for (const [kind, name] of Object.entries(SUBJECTS))
    errors.forbid(
      `${path}.${name}`,
      name !== own && s[name] !== undefined,
      `${name} is forbidden when subject kind is not '${kind}'`,
    );
  return errors.list;
}

/** One field of a rule: given, and `*` alone. */
function validateList(
  list: readonly string[] | undefined,
  path: string,
  o: { whenNone: string; others: string },
): FieldError[] {
  if ((list?.length ?? 0) === 0) return [required(path, o.whenNone)];
  if (list?.includes('*') && list.length > 1)
    return [invalid(path, list, `if '*' is present, must not specify other ${o.others}`)];
  return [];
}

function validateVerbs(verbs: readonly string[] | undefined, path: string): FieldError[] {
  const at = `${path}.verbs`;
  const errors = validateList(verbs, at, { whenNone: 'verbs must contain at least one value', others: 'verbs' });
  if (errors.length > 0 || verbs?.includes('*')) return errors;
  return verbs?.every((v) => VERBS.includes(v)) ? [] : [notSupported(at, verbs, VERBS)];
}

function validateResourceRule(rule: ResourcePolicyRule, path: string): FieldError[] {
  const errors = new Errors();
  errors.add(...validateVerbs(rule.verbs, path));
  for (const [name, one, others] of [
    ['apiGroups', 'api group', 'api groups'],
    ['resources', 'resource', 'resources'],
  ] as const)
    errors.add(
      ...validateList(rule[name], `${path}.${name}`, {
        whenNone: `resource rules must supply at least one ${one}`,
        others,
      }),
    );
  const namespaces = rule.namespaces ?? [];
  const at = `${path}.namespaces`;
  const whenNone = 'resource rules that are not cluster scoped must supply at least one namespace';
  if (namespaces.length > 0 || rule.clusterScope !== true)
    errors.add(...validateList(namespaces, at, { whenNone, others: 'namespaces' }));
  if (namespaces.includes('*')) return errors.list;
  eachItem(namespaces, at, (ns, where) => {
    for (const m of dns1123Label(ns))
      errors.add(invalid(where, ns, `each member of this list must be '*' or a DNS-1123 label; ${m}`));
  });
  return errors.list;
}

function validateUrlRule(rule: NonResourcePolicyRule, path: string): FieldError[] {
  const errors = new Errors();
  const at = `${path}.nonResourceURLs`;
  const urls = rule.nonResourceURLs ?? [];
  errors.add(...validateVerbs(rule.verbs, path));
  const whenNone = 'nonResourceURLs must contain at least one value';
  errors.add(...validateList(urls, at, { whenNone, others: 'non-resource URLs' }));
  if (urls.includes('*')) return errors.list;
  eachItem(urls, at, (url, where) => {
    const wrong = urlError(url);
    if (wrong !== undefined) errors.add(invalid(where, url, wrong));
  });
  return errors.list;
}

function urlError(url: string): string | undefined {
  if (url === '') return 'must not be empty';
  if (!url.startsWith('/')) return 'must start with slash';
  if (url.includes(' ')) return 'must not contain white-space';
  if (url.includes('//')) return 'must not contain double slash';
  const stars = url.split('*').length - 1;
  return stars > 1 || (stars === 1 && !url.endsWith('/*')) ? 'wildcard can only do suffix matching' : undefined;
}

// --- priority levels ---

const ZERO_SHARES_ANNOTATION = 'flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares';

export function validatePriorityLevel({ metadata, spec, status }: PriorityLevelConfiguration): FieldError[] {
  const errors = new Errors();
  const { name } = metadata;
  errors.forbid(
    'metadata.annotations',
    metadata.annotations?.[ZERO_SHARES_ANNOTATION] !== undefined,
    `annotation '${ZERO_SHARES_ANNOTATION}' is forbidden`,
  );
  if ((name === 'exempt') !== (spec.type === 'Exempt'))
    errors.add(invalid('spec.type', spec.type, "must be 'Exempt' if and only if `name` is 'exempt'"));
  if (spec.type === 'Exempt') {
    errors.forbid('spec.limited', spec.limited !== undefined, 'must be nil if the type is not Limited');
    const { nominalConcurrencyShares: shares } = spec.exempt ?? {};
    if ((shares ?? 0) < 0)
      errors.add(invalid('spec.exempt.nominalConcurrencyShares', shares, 'must be a non-negative integer'));
    errors.add(...validatePercent(spec.exempt?.lendablePercent, 'spec.exempt.lendablePercent'));
  } else if (spec.type === 'Limited') {
    errors.forbid('spec.exempt', spec.exempt !== undefined, 'must be nil if the type is Limited');
    if (spec.limited === undefined) errors.add(required('spec.limited', 'must not be empty when type is Limited'));
    else errors.add(...validateLimited(spec.limited, 'spec.limited'));
  } else errors.add(notSupported('spec.type', spec.type, ['Exempt', 'Limited']));
  if (name === 'exempt' && !semanticEqual({ ...spec, exempt: undefined }, { type: 'Exempt', exempt: undefined }))
    errors.add(invalid('spec', spec, "spec of 'exempt' except the 'spec.exempt' field must equal the fixed value"));
  if (name === 'catch-all' && !semanticEqual(spec, CATCH_ALL_LEVEL))
    errors.add(invalid('spec', spec, "spec of 'catch-all' must equal the fixed value"));
  errors.add(...validateConditionTypes(status?.conditions));
  return errors.list;
}

function validatePercent(percent: number | undefined, path: string): FieldError[] {
  if (percent === undefined || (percent >= 0 && percent <= 100)) return [];
  return [invalid(path, percent, 'must be between 0 and 100, inclusive')];
}

function validateLimited(l: LimitedPriorityLevelConfiguration, path: string): FieldError[] {
  const errors = new Errors();
  const { nominalConcurrencyShares: shares, borrowingLimitPercent: borrowing } = l;
  if ((shares ?? 0) < 0)
    errors.add(invalid(`${path}.nominalConcurrencyShares`, shares, 'must be a non-negative integer'));
  errors.add(...validateLimitResponse(l.limitResponse, `${path}.limitResponse`));
  errors.add(...validatePercent(l.lendablePercent, `${path}.lendablePercent`));
  if ((borrowing ?? 0) < 0)
    errors.add(invalid(`${path}.borrowingLimitPercent`, borrowing, 'if specified, must be a non-negative integer'));
  return errors.list;
}

function validateLimitResponse(r: LimitResponse | undefined, path: string): FieldError[] {
  const type = r?.type ?? '';
  const at = `${path}.queuing`;
  if (type === 'Reject')
    return r?.queuing === undefined ? [] : [forbidden(at, 'must be nil if limited.limitResponse.type is not Limited')];
  if (type !== 'Queue') return [notSupported(`${path}.type`, type, ['Queue', 'Reject'])];
  if (r?.queuing === undefined) return [required(at, 'must not be empty if limited.limitResponse.type is Limited')];
  return validateQueuing(r.queuing, at);
}

function validateQueuing({ queues, handSize, queueLengthLimit }: QueuingConfiguration, path: string): FieldError[] {
  const errors = new Errors();
  if (queueLengthLimit <= 0) errors.add(invalid(`${path}.queueLengthLimit`, queueLengthLimit, 'must be positive'));
  if (queues <= 0) errors.add(invalid(`${path}.queues`, queues, 'must be positive'));
  else if (queues > QUEUES_MAX) errors.add(invalid(`${path}.queues`, queues, `must not be greater than ${QUEUES_MAX}`));
  const at = `${path}.handSize`;
  if (handSize <= 0) errors.add(invalid(at, handSize, 'must be positive'));
  else if (handSize > queues) errors.add(invalid(at, handSize, `should not be greater than queues (${queues})`));
  else if (Math.ceil(Math.log2(queues) * handSize) > HASH_BITS_MAX)
    errors.add(
      invalid(
        at,
        handSize,
        `required entropy bits of deckSize ${queues} and handSize ${handSize} should not be greater than ${HASH_BITS_MAX}`,
      ),
    );
  return errors.list;
}
