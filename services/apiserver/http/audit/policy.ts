/**
 * The audit policy: which requests are recorded, and how much of them. The first rule that matches decides; without one a
 * request is not recorded. Pure.
 * Source: audit.k8s.io/v1 Policy; k8s.io/apiserver/pkg/audit/policy/checker.go, pkg/apis/audit/validation.
 */
import { readYaml } from '#lib/api';
import { StatusError } from '#lib/base';
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
    if (g.group !== a.group) return false;
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
  const [document, more] = await readYaml(text);
  if (document?.mistake !== undefined) throw refused([`not YAML: ${document.mistake}`]);
  if (more !== undefined) throw refused(['must be one document']);
  const read = new PolicyReader();
  const policy = read.policy(document?.value);
  if (read.mistakes.length > 0) throw refused(read.mistakes);
  return policy;
}

function refused(mistakes: readonly string[]): StatusError {
  return new StatusError('BadRequest', `the audit policy is not valid: ${mistakes.join('; ')}`);
}

type Fields = Readonly<Record<string, unknown>>;

class PolicyReader {
  readonly mistakes: string[] = [];

  policy(value: unknown): AuditPolicy {
    const known = ['apiVersion', 'kind', 'metadata', 'rules', 'omitStages', 'omitManagedFields'];
    const o = this.#object(value, '', known);
    if (o['apiVersion'] !== 'audit.k8s.io/v1' || o['kind'] !== 'Policy')
      this.mistakes.push('apiVersion, kind: must be audit.k8s.io/v1 Policy');
    const rules = this.#list(o['rules'], 'rules').map((rule, i) => this.#rule(rule, `rules[${i}]`));
    if (rules.length === 0) this.mistakes.push('rules: loaded illegal policy with 0 rules');
    return {
      omitStages: this.#stages(o['omitStages'], 'omitStages'),
      omitManagedFields: this.#boolean(o['omitManagedFields'], 'omitManagedFields') ?? false,
      rules,
    };
  }

  #rule(value: unknown, at: string): AuditRule {
    const known = ['level', 'users', 'userGroups', 'verbs', 'resources', 'namespaces', 'nonResourceURLs'];
    const o = this.#object(value, at, [...known, 'omitStages', 'omitManagedFields']);
    const level = LEVELS.find((l) => l === o['level']);
    if (o['level'] === undefined) this.mistakes.push(`${at}.level: Required value`);
    else if (level === undefined) this.mistakes.push(unsupported(`${at}.level`, o['level'], LEVELS));
    const rule: AuditRule = {
      level: level ?? 'None',
      users: this.#strings(o['users'], `${at}.users`),
      userGroups: this.#strings(o['userGroups'], `${at}.userGroups`),
      verbs: this.#strings(o['verbs'], `${at}.verbs`),
      resources: this.#list(o['resources'], `${at}.resources`).map((r, i) => this.#group(r, `${at}.resources[${i}]`)),
      namespaces: this.#strings(o['namespaces'], `${at}.namespaces`),
      nonResourceURLs: this.#strings(o['nonResourceURLs'], `${at}.nonResourceURLs`),
      omitStages: this.#stages(o['omitStages'], `${at}.omitStages`),
      omitManagedFields: this.#boolean(o['omitManagedFields'], `${at}.omitManagedFields`),
    };
    this.#checkUrls(rule, at);
    return rule;
  }

  #checkUrls(rule: AuditRule, at: string): void {
    if (rule.nonResourceURLs.length === 0) return;
    if (rule.resources.length > 0 || rule.namespaces.length > 0)
      this.mistakes.push(
        `${at}.nonResourceURLs: Invalid value: rules cannot apply to both regular resources and non-resource URLs`,
      );
    for (const [i, url] of rule.nonResourceURLs.entries()) {
      const place = `${at}.nonResourceURLs[${i}]: Invalid value: "${url}"`;
      if (url === '*') continue;
      if (!url.startsWith('/')) this.mistakes.push(`${place}: non-resource URL rules must begin with a '/' character`);
      if (url.slice(0, -1).includes('*'))
        this.mistakes.push(`${place}: non-resource URL wildcards '*' must be the final character of the rule`);
    }
  }

  #group(value: unknown, at: string): GroupResources {
    const o = this.#object(value, at, ['group', 'resources', 'resourceNames']);
    const group = o['group'] ?? '';
    if (typeof group !== 'string') this.mistakes.push(`${at}.group: Invalid value: must be a string`);
    const resources = this.#strings(o['resources'], `${at}.resources`);
    const resourceNames = this.#strings(o['resourceNames'], `${at}.resourceNames`);
    if (resourceNames.length > 0 && resources.length === 0)
      this.mistakes.push(`${at}.resourceNames: Invalid value: using resourceNames requires at least one resource`);
    return { group: String(group), resources, resourceNames };
  }

  #stages(value: unknown, at: string): AuditStage[] {
    const stages: AuditStage[] = [];
    for (const [i, text] of this.#strings(value, at).entries()) {
      const stage = STAGES.find((s) => s === text);
      if (stage === undefined) this.mistakes.push(unsupported(`${at}[${i}]`, text, STAGES));
      else stages.push(stage);
    }
    return stages;
  }

  #strings(value: unknown, at: string): string[] {
    const strings: string[] = [];
    for (const [i, item] of this.#list(value, at).entries()) {
      if (typeof item === 'string') strings.push(item);
      else this.mistakes.push(`${at}[${i}]: Invalid value: must be a string`);
    }
    return strings;
  }

  #boolean(value: unknown, at: string): boolean | undefined {
    if (value === undefined || typeof value === 'boolean') return value;
    this.mistakes.push(`${at}: Invalid value: must be a boolean`);
    return undefined;
  }

  #list(value: unknown, at: string): unknown[] {
    if (value === undefined || value === null) return [];
    if (Array.isArray(value)) return value;
    this.mistakes.push(`${at}: Invalid value: must be a list`);
    return [];
  }

  #object(value: unknown, at: string, known: readonly string[]): Fields {
    if (!isFields(value)) {
      this.mistakes.push(`${at === '' ? 'the policy' : at}: Invalid value: must be an object`);
      return {};
    }
    for (const name of Object.keys(value))
      if (!known.includes(name)) this.mistakes.push(`unknown field "${at === '' ? name : `${at}.${name}`}"`);
    return value;
  }
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function unsupported(at: string, value: unknown, supported: readonly string[]): string {
  return `${at}: Unsupported value: ${JSON.stringify(value)}: supported values: ${supported.map((s) => `"${s}"`).join(', ')}`;
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
