import { describe, expect, test } from 'vitest';
import { Kinds } from '../gen/kinds.ts';
import { created, createErrors, updateErrors } from '../testing/prepared.ts';
import { validateWebhookService, validateWebhookUrl } from '../validation/webhook-client.ts';

const metadata = { name: 'x' };
const rule = { operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods'] };
const hook = {
  name: 'a.b.c',
  clientConfig: { url: 'https://h/p' },
  rules: [rule],
  sideEffects: 'None',
  admissionReviewVersions: ['v1'],
};
const kind = Kinds.validatingwebhookconfigurations;
const errors = (...hooks: object[]): string[] =>
  createErrors(kind, { metadata, webhooks: hooks.map((h) => ({ ...hook, ...h })) });
const at = 'webhooks[0]';

describe('webhook configurations', () => {
  test('defaults', () => {
    const made = created(Kinds.mutatingwebhookconfigurations, { metadata, webhooks: [hook] });
    expect(made.webhooks?.[0]).toMatchObject({
      failurePolicy: 'Fail',
      matchPolicy: 'Equivalent',
      namespaceSelector: {},
      objectSelector: {},
      timeoutSeconds: 10,
      reinvocationPolicy: 'Never',
      rules: [{ scope: '*' }],
    });
    expect(errors({})).toEqual([]);
  });

  test('names, policies, side effects, versions', () => {
    expect(errors({ name: 'a.b' }, {}, {})).toEqual([
      `${at}.name: Invalid value: "a.b": should be a domain with at least three segments separated by dots`,
      'webhooks[2].name: Duplicate value: "a.b.c"',
    ]);
    expect(errors({ sideEffects: null, failurePolicy: 'X', timeoutSeconds: 31, admissionReviewVersions: [] })).toEqual([
      `${at}.failurePolicy: Unsupported value: "X": supported values: "Fail", "Ignore"`,
      `${at}.sideEffects: Required value: must specify one of None, NoneOnDryRun`,
      `${at}.timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds`,
      `${at}.admissionReviewVersions: Required value: must specify one of v1, v1beta1`,
    ]);
    expect(errors({ sideEffects: 'Some', admissionReviewVersions: ['v2', 'v2'] })).toEqual([
      `${at}.sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun"`,
      `${at}.admissionReviewVersions[1]: Invalid value: "v2": duplicate version`,
      `${at}.admissionReviewVersions: Invalid value: ["v2","v2"]: must include at least one of v1, v1beta1`,
    ]);
    const mutating = { metadata, webhooks: [{ ...hook, reinvocationPolicy: 'X' }] };
    expect(createErrors(Kinds.mutatingwebhookconfigurations, mutating)).toEqual([
      `${at}.reinvocationPolicy: Unsupported value: "X": supported values: "IfNeeded", "Never"`,
    ]);
  });

  test('rules', () => {
    const ruleErrors = (r: object): string[] => errors({ rules: [{ ...rule, ...r }] });
    const where = `${at}.rules[0]`;
    expect(ruleErrors({ operations: ['*', 'X'], apiGroups: ['*', 'a'], apiVersions: [''], scope: 'X' })).toEqual([
      `${where}.operations: Invalid value: ["*","X"]: if '*' is present, must not specify other operations`,
      `${where}.operations[1]: Unsupported value: "X": supported values: "*", "CONNECT", "CREATE", "DELETE", "UPDATE"`,
      `${where}.apiGroups: Invalid value: ["*","a"]: if '*' is present, must not specify other API groups`,
      `${where}.apiVersions[0]: Required value`,
      `${where}.scope: Unsupported value: "X": supported values: "*", "Cluster", "Namespaced"`,
    ]);
    expect(ruleErrors({ resources: ['pods/*', 'pods/log', '*/scale', 'a/scale', ''] })).toEqual([
      `${where}.resources[1]: Invalid value: "pods/log": if 'pods/*' is present, must not specify pods/log`,
      `${where}.resources[3]: Invalid value: "a/scale": if '*/scale' is present, must not specify a/scale`,
      `${where}.resources[4]: Required value`,
    ]);
    expect(ruleErrors({ resources: ['*', 'pods'] })).toEqual([
      `${where}.resources: Invalid value: ["*","pods"]: if '*' is present, must not specify other resources without subresources`,
    ]);
    expect(ruleErrors({ resources: ['*/*', 'pods/a'] })[0]).toMatch(
      /if '\*\/\*' is present, must not specify other resources$/,
    );
  });

  test('clients', () => {
    expect(errors({ clientConfig: {} })).toEqual([
      `${at}.clientConfig: Required value: exactly one of url or service is required`,
    ]);
    const url = (text: string): string[] => validateWebhookUrl(text, 'u').map((e) => e.detail);
    expect(url('https://h:1/p')).toEqual([]);
    expect(url('http://u:p@?q#f')).toEqual([
      "'https' is the only allowed URL scheme; desired format: https://host[/path]",
      'host must be specified; desired format: https://host[/path]',
      'user information is not permitted in the URL',
      'fragments are not permitted in the URL',
      'query parameters are not permitted in the URL',
    ]);
    expect(url('https://h:x')).toEqual([
      'url must be a valid URL: parse "https://h:x": invalid port ":x" after host; desired format: https://host[/path]',
    ]);
    expect(url('https://h/%zz')[0]).toContain('invalid URL escape "%zz"');
    expect(validateWebhookService({ path: '/a//B', port: 0 }, 's').map((e) => `${e.field} ${e.detail}`)).toEqual([
      's.name ',
      's.namespace ',
      's.port port is not valid: must be between 1 and 65535, inclusive',
      's.path segment[1] may not be empty',
      expect.stringMatching(/^s\.path segment\[2\]: a lowercase RFC 1123 subdomain/),
    ]);
  });

  test('paths of services', () => {
    const path = (text: string): string[] =>
      validateWebhookService({ namespace: 'n', name: 's', port: 1, path: text }, 's').map((e) => e.detail);
    expect(['', '/', '/a/b/'].flatMap(path)).toEqual([]);
    expect(path('//')).toEqual(['segment[0] may not be empty']);
    expect(path('xa')).toEqual(["must start with a '/'"]);
  });

  test('match conditions', () => {
    const matchConditions = [{ name: 'a', expression: 'true' }, { name: 'a', expression: ' ' }, { expression: 'x' }];
    expect(errors({ matchConditions })).toEqual([
      `${at}.matchConditions[1].expression: Required value`,
      `${at}.matchConditions[1].name: Duplicate value: "a"`,
      `${at}.matchConditions[2].name: Required value`,
    ]);
    const many = Array.from({ length: 65 }, (_, i) => ({ name: `n${i}`, expression: 'true' }));
    expect(errors({ matchConditions: many })).toEqual([
      `${at}.matchConditions: Too many: 65: must have at most 64 items`,
    ]);
  });

  test('what was there before may stay', () => {
    const old = created(kind, { metadata, webhooks: [hook, hook] });
    for (const h of old.webhooks ?? []) Object.assign(h, { sideEffects: 'Some', admissionReviewVersions: ['v9'] });
    const touch = (c: typeof old): void => {
      c.metadata.labels = { a: 'b' };
    };
    expect(updateErrors(kind, old, touch)).toEqual([]);
  });
});
