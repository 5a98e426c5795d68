import { describe, expect, test } from 'vitest';
import { isKind } from '#lib/base';
import { type AuditAttributes, type AuditPolicy, DEFAULT_POLICY, decide, parseAuditPolicy } from './policy.ts';

const head = 'apiVersion: audit.k8s.io/v1\nkind: Policy\n';
const user = { name: 'u', groups: ['g', 'system:authenticated'] };

function resource(o: Partial<Extract<AuditAttributes, { type: 'resource' }>> = {}): AuditAttributes {
  const of = { group: '', resource: 'pods', subresource: '', namespace: 'default', name: 'a' };
  return { type: 'resource', user, verb: 'get', ...of, ...o };
}

function path(at: string): AuditAttributes {
  return { type: 'path', user, verb: 'get', path: at };
}

const one = (rule: string): Promise<AuditPolicy> => parseAuditPolicy(`${head}rules:\n- ${rule}\n- {level: None}`);

describe('decide (audit/policy/checker.go)', () => {
  test.each<[string, AuditAttributes, boolean]>([
    ['{level: Metadata}', path('/x'), true],
    ['{level: Metadata, users: [u]}', resource(), true],
    ['{level: Metadata, users: [v]}', resource(), false],
    ['{level: Metadata, users: [u]}', resource({ user: undefined }), false],
    ['{level: Metadata, userGroups: [x, g]}', resource(), true],
    ['{level: Metadata, userGroups: [x]}', resource(), false],
    ['{level: Metadata, verbs: [list]}', resource(), false],
    ['{level: Metadata, namespaces: [default]}', resource(), true],
    ['{level: Metadata, namespaces: [""]}', resource(), false],
    ['{level: Metadata, namespaces: [""]}', resource({ namespace: '' }), true],
    ['{level: Metadata, namespaces: [""]}', path('/x'), false],
    ['{level: Metadata, resources: [{group: ""}]}', resource(), true],
    ['{level: Metadata, resources: [{group: apps}]}', resource(), false],
    ['{level: Metadata, resources: [{resources: [pods]}]}', resource(), true],
    ['{level: Metadata, resources: [{resources: [pods]}]}', resource({ subresource: 'log' }), false],
    ['{level: Metadata, resources: [{resources: [pods/log]}]}', resource({ subresource: 'log' }), true],
    ['{level: Metadata, resources: [{resources: ["pods/*"]}]}', resource({ subresource: 'log' }), true],
    ['{level: Metadata, resources: [{resources: ["*/log"]}]}', resource({ subresource: 'log' }), true],
    ['{level: Metadata, resources: [{resources: ["*/log"]}]}', resource(), false],
    ['{level: Metadata, resources: [{resources: ["*"]}]}', resource({ subresource: 'log' }), true],
    ['{level: Metadata, resources: [{resources: [pods], resourceNames: [a]}]}', resource(), true],
    ['{level: Metadata, resources: [{resources: [pods], resourceNames: [b]}]}', resource(), false],
    ['{level: Metadata, nonResourceURLs: ["/health*"]}', path('/healthz/etcd'), true],
    ['{level: Metadata, nonResourceURLs: ["/health"]}', path('/healthz'), false],
    ['{level: Metadata, nonResourceURLs: ["*"]}', path('/x'), true],
    ['{level: Metadata, nonResourceURLs: ["*"]}', resource(), false],
  ])('%s', async (rule, attributes, isRecorded) => {
    expect(decide(await one(rule), attributes).level).toBe(isRecorded ? 'Metadata' : 'None');
  });

  test('the first rule that matches counts; its omissions add to those of the policy', async () => {
    const text = `${head}omitStages: [RequestReceived]
omitManagedFields: true
rules:
- {level: Request, verbs: [get], omitStages: [ResponseStarted], omitManagedFields: false}
- {level: RequestResponse}`;
    const policy = await parseAuditPolicy(text);
    const first = decide(policy, resource());
    expect(first).toMatchObject({ level: 'Request', omitManagedFields: false });
    expect([...first.omitStages]).toEqual(['RequestReceived', 'ResponseStarted']);
    expect(decide(policy, resource({ verb: 'list' }))).toMatchObject({
      level: 'RequestResponse',
      omitManagedFields: true,
    });
  });
});

describe('parseAuditPolicy', () => {
  test.each([
    ['rules: []', '0 rules'],
    ['rules: [{}]', 'rules[0].level: Required value'],
    ['rules: [{level: All}]', 'rules[0].level: Unsupported value: "All": supported values: "None", "Metadata"'],
    ['rules: [{level: None, omitStages: [Soon]}]', 'rules[0].omitStages[0]: Unsupported value: "Soon"'],
    ['rules: [{level: None, verb: [get]}]', 'unknown field "rules[0].verb"'],
    ['rules: [{level: None, verbs: get}]', 'rules[0].verbs: Invalid value: must be a list'],
    [
      'rules: [{level: None, nonResourceURLs: ["/a"], namespaces: [b]}]',
      'both regular resources and non-resource URLs',
    ],
    ['rules: [{level: None, nonResourceURLs: ["a"]}]', "must begin with a '/' character"],
    ['rules: [{level: None, nonResourceURLs: ["/a*b"]}]', 'must be the final character'],
    ['rules: [{level: None, resources: [{resourceNames: [a]}]}]', 'using resourceNames requires at least one resource'],
    ['rules: [{level: None}]\nextra: 1', 'unknown field "extra"'],
    ['rules: [', 'not YAML'],
  ])('refuses %s', async (body, message) => {
    const failed = parseAuditPolicy(head + body);
    await expect(failed).rejects.toSatisfy((e) => isKind(e, 'BadRequest') && e.message.includes(message));
  });

  test('refuses another kind, and tells all mistakes at once', async () => {
    const failed = parseAuditPolicy('apiVersion: v1\nkind: Policy\nrules: [{}, {level: X}]');
    await expect(failed).rejects.toThrow(/audit\.k8s\.io\/v1 Policy.*rules\[0\]\.level.*rules\[1\]\.level/);
    await expect(parseAuditPolicy('')).rejects.toThrow('must be an object');
  });
});

test('the default policy records writes, reads of secrets and going into containers; no bodies, no heartbeats', () => {
  const level = (a: AuditAttributes): string => decide(DEFAULT_POLICY, a).level;
  expect(level(resource({ verb: 'create' }))).toBe('Metadata');
  expect(level(resource())).toBe('None');
  expect(level(resource({ resource: 'secrets' }))).toBe('Metadata');
  expect(level(resource({ subresource: 'exec' }))).toBe('Metadata');
  expect(level(resource({ group: 'coordination.k8s.io', resource: 'leases', verb: 'update' }))).toBe('None');
  expect(level(path('/readyz'))).toBe('None');
});
