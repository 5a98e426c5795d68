/**
 * The audit policy: which requests are recorded, and how much of them. The first rule that matches decides; without one a
 * request is not recorded. Pure.
 * Source: audit.k8s.io/v1 Policy; k8s.io/apiserver/pkg/audit/policy/checker.go, pkg/apis/audit/validation.
 */
import { type FieldReader, fieldErrors, readConfiguration } from '#lib/api';
import type { UserInfo } from '#lib/client';

export const LEVELS = ['None', 'Metadata', 'Request', 'RequestResponse'] as const;
export const STAGES = ['RequestReceived', 'ResponseStarted', 'ResponseComplete', 'Panic'] as const;

export type AuditLevel = (typeof LEVELS)[number];
export type AuditStage = (typeof STAGES)[number];

export interface GroupResources {
  readonly group: string;
  readonly resources: readonly string[];
  readonly resourceNames: readonly string[];
}

export interface AuditRule {
  readonly level: AuditLevel;
  readonly users: readonly string[];
  readonly userGroups: readonly string[];
  readonly verbs: readonly string[];
  readonly resources: readonly GroupResources[];
  readonly namespaces: readonly string[];
  readonly nonResourceURLs: readonly string[];
  readonly omitStages: readonly AuditStage[];
  readonly omitManagedFields: boolean | undefined;
}

export interface AuditPolicy {
  readonly omitStages: readonly AuditStage[];
  readonly omitManagedFields: boolean;
  readonly rules: readonly AuditRule[];
}

export interface AuditDecision {
  readonly level: AuditLevel;
  readonly omitStages: ReadonlySet<AuditStage>;
  readonly omitManagedFields: boolean;
}

export type AuditAttributes =
  | {
      readonly type: 'resource';
      /** undefined: not authenticated. */
      readonly user: UserInfo | undefined;
      readonly verb: string;
      readonly group: string;
      readonly resource: string;
      readonly subresource: string;
      readonly namespace: string;
      readonly name: string;
    }
  | { readonly type: 'path'; readonly user: UserInfo | undefined; readonly verb: string; readonly path: string };

type ResourceAttributes = Extract<AuditAttributes, { type: 'resource' }>;

export function decide(policy: AuditPolicy, a: AuditAttributes): AuditDecision {
  const rule = policy.rules.find((r) => matches(r, a));
  return {
    level: rule?.level ?? 'None',
    omitStages: new Set([...policy.omitStages, ...(rule?.omitStages ?? [])]),
    omitManagedFields: rule?.omitManagedFields ?? policy.omitManagedFields,
  };
}

function matches(rule: AuditRule, a: AuditAttributes): boolean {
  if (rule.users.length > 0 && (a.user === undefined || !rule.users.includes(a.user.name))) return false;
  if (rule.userGroups.length > 0 && a.user?.groups.some((g) => rule.userGroups.includes(g)) !== true) return false;
  if (rule.verbs.length > 0 && !rule.verbs.includes(a.verb)) return false;
  if (rule.namespaces.length > 0 || rule.resources.length > 0) return a.type === 'resource' && matchesResource(rule, a);
  if (rule.nonResourceURLs.length > 0)
    return a.type === 'path' && rule.nonResourceURLs.some((u) => matchesUrl(u, a.path));
  return true;
}

function matchesUrl(url: string, path: string): boolean {
  if (url === '*' || url === path) return true;
  return url.endsWith('*') && path.startsWith(url.slice(0, -1));
}

function matchesResource(rule: AuditRule, a: ResourceAttributes): boolean {
  if (rule.namespaces.length > 0 && !rule.namespaces.includes(a.namespace)) return false;
  if (rule.resources.length === 0) return true;
  return rule.resources.some((g) => {
    if (g.group !== a.group && g.group !== '*') return false;
    if (g.resources.length === 0) return true;
    if (g.resourceNames.length > 0 && !g.resourceNames.includes(a.name)) return false;
    return g.resources.some((r) => matchesName(r, a));
  });
}

/** `pods` (itself alone), `pods/log`, `*`, `pods/*` (itself and all below it), scale of any resource. */
function matchesName(pattern: string, { resource, subresource }: ResourceAttributes): boolean {
  const full = subresource === '' ? resource : `${resource}/${subresource}`;
  if (pattern === '*' || pattern === full) return true;
  if (subresource !== '' && pattern === `*/${subresource}`) return true;
  return pattern === `${resource}/*`;
}

/** Throws BadRequest that names every mistake by its field. */
export async function parseAuditPolicy(text: string): Promise<AuditPolicy> {
  return await readConfiguration(text, 'the audit policy', (value, fields) => new PolicyReader(fields).policy(value));
}

class PolicyReader {
  readonly #fields: FieldReader;

  constructor(fields: FieldReader) {
    this.#fields = fields;
  }

  policy(value: unknown): AuditPolicy {
    const known = ['apiVersion', 'kind', 'metadata', 'rules', 'omitStages', 'omitManagedFields'];
    const o = this.#fields.object(value, '', known);
    if (o['apiVersion'] !== 'audit.k8s.io/v1' || o['kind'] !== 'Policy')
      this.#fields.mistakes.push('apiVersion, kind: must be audit.k8s.io/v1 Policy');
    const rules = this.#fields.list(o['rules'], 'rules').map((rule, i) => this.#rule(rule, `rules[${i}]`));
    if (rules.length === 0) this.#fields.mistakes.push('rules: loaded illegal policy with 0 rules');
    return {
      omitStages: this.#stages(o['omitStages'], 'omitStages'),
      omitManagedFields: this.#fields.boolean(o['omitManagedFields'], 'omitManagedFields') ?? false,
      rules,
    };
  }

  #rule(value: unknown, at: string): AuditRule {
    const known = ['level', 'users', 'userGroups', 'verbs', 'resources', 'namespaces', 'nonResourceURLs'];
    const o = this.#fields.object(value, at, [...known, 'omitStages', 'omitManagedFields']);
    const level = LEVELS.find((l) => l === o['level']);
    if (o['level'] === undefined) this.#fields.mistakes.push(`${at}.level: Required value`);
    else if (level === undefined) this.#fields.add(fieldErrors.notSupported(`${at}.level`, o['level'], LEVELS));
    const rule: AuditRule = {
      level: level ?? 'None',
      users: this.#fields.strings(o['users'], `${at}.users`),
      userGroups: this.#fields.strings(o['userGroups'], `${at}.userGroups`),
      verbs: this.#fields.strings(o['verbs'], `${at}.verbs`),
      resources: this.#fields
        .list(o['resources'], `${at}.resources`)
        .map((r, i) => this.#group(r, `${at}.resources[${i}]`)),
      namespaces: this.#fields.strings(o['namespaces'], `${at}.namespaces`),
      nonResourceURLs: this.#fields.strings(o['nonResourceURLs'], `${at}.nonResourceURLs`),
      omitStages: this.#stages(o['omitStages'], `${at}.omitStages`),
      omitManagedFields: this.#fields.boolean(o['omitManagedFields'], `${at}.omitManagedFields`),
    };
    this.#checkUrls(rule, at);
    return rule;
  }

  #checkUrls(rule: AuditRule, at: string): void {
    if (rule.nonResourceURLs.length === 0) return;
    if (rule.resources.length > 0 || rule.namespaces.length > 0)
      this.#fields.mistakes.push(
        `${at}.nonResourceURLs: Invalid value: rules cannot apply to both regular resources and non-resource URLs`,
      );
    for (const [i, url] of rule.nonResourceURLs.entries()) {
      const place = `${at}.nonResourceURLs[${i}]: Invalid value: "${url}"`;
      if (url === '*') continue;
      if (!url.startsWith('/'))
        this.#fields.mistakes.push(`${place}: non-resource URL rules must begin with a '/' character`);
      if (url.slice(0, -1).includes('*'))
        this.#fields.mistakes.push(`${place}: non-resource URL wildcards '*' must be the final character of the rule`);
    }
  }

  #group(value: unknown, at: string): GroupResources {
    const o = this.#fields.object(value, at, ['group', 'resources', 'resourceNames']);
    const group = o['group'] ?? '';
    if (typeof group !== 'string') this.#fields.mistakes.push(`${at}.group: Invalid value: must be a string`);
    const resources = this.#fields.strings(o['resources'], `${at}.resources`);
    const resourceNames = this.#fields.strings(o['resourceNames'], `${at}.resourceNames`);
    if (resourceNames.length > 0 && resources.length === 0)
      this.#fields.mistakes.push(
        `${at}.resourceNames: Invalid value: using resourceNames requires at least one resource`,
      );
    return { group: String(group), resources, resourceNames };
  }

  #stages(value: unknown, at: string): AuditStage[] {
    const stages: AuditStage[] = [];
    for (const [i, text] of this.#fields.strings(value, at).entries()) {
      const stage = STAGES.find((s) => s === text);
      if (stage === undefined) this.#fields.add(fieldErrors.notSupported(`${at}[${i}]`, text, STAGES));
      else stages.push(stage);
    }
    return stages;
  }
}

const RULE: AuditRule = {
  level: 'Metadata',
  users: [],
  userGroups: [],
  verbs: [],
  resources: [],
  namespaces: [],
  nonResourceURLs: [],
  omitStages: [],
  omitManagedFields: undefined,
};

/**
 * Without a policy file: who changed what, who read secrets, who went into containers; no bodies. Reads of the rest are
 * many and tell little. Heartbeats of nodes and elections of leaders are left out.
 */
export const DEFAULT_POLICY: AuditPolicy = {
  omitStages: ['RequestReceived'],
  omitManagedFields: true,
  rules: [
    { ...RULE, level: 'None', nonResourceURLs: ['*'] },
    {
      ...RULE,
      level: 'None',
      resources: [
        { group: 'coordination.k8s.io', resources: ['leases'], resourceNames: [] },
        { group: '', resources: ['events'], resourceNames: [] },
        { group: 'events.k8s.io', resources: ['events'], resourceNames: [] },
      ],
    },
    { ...RULE, level: 'None', userGroups: ['system:nodes'], verbs: ['get', 'list', 'watch'] },
    { ...RULE, resources: [{ group: '', resources: ['secrets'], resourceNames: [] }] },
    {
      ...RULE,
      resources: [
        {
          group: '',
          resources: ['pods/exec', 'pods/attach', 'pods/portforward', 'pods/proxy', 'services/proxy', 'nodes/proxy'],
          resourceNames: [],
        },
      ],
    },
    { ...RULE, level: 'None', verbs: ['get', 'list', 'watch'] },
    RULE,
  ],
};
