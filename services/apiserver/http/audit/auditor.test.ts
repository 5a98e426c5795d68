import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { StatusError, VirtualClock } from '#lib/base';
import type { UserInfo } from '#lib/client';
import { cpuMs } from '../../../../lib/base/testing/cpu-time.ts';
import { type RequestInfo, requestInfo } from '../request-info.ts';
import { type AuditedCall, type AuditFacts, Auditor } from './auditor.ts';
import { type AuditEvent, sourceIps } from './event.ts';
import type { AuditPolicy } from './policy.ts';
import { parseAuditPolicy } from './policy.ts';
import { redacted } from './redact.ts';
import { AuditTrail } from './trail.ts';

const EVERYTHING = 'apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: RequestResponse}]';

async function auditor(
  policyText = EVERYTHING,
): Promise<{ auditor: Auditor; events: AuditEvent[]; clock: VirtualClock }> {
  const events: AuditEvent[] = [];
  const clock = new VirtualClock();
  const policy: AuditPolicy = await parseAuditPolicy(policyText);
  const bus = { publish: (_subject: string, data: Uint8Array | string) => void events.push(JSON.parse(String(data))) };
  return { auditor: new Auditor({ policy, trail: new AuditTrail({ file: undefined, bus }), clock }), events, clock };
}

interface AuditSubject extends AuditFacts {
  readonly info: RequestInfo;
  readonly user: UserInfo | undefined;
}

function begin(a: Auditor, { info, user, ...facts }: AuditSubject): AuditedCall | undefined {
  return a.begin(info, user, () => facts);
}

function subject(method: string, url: string, o: Partial<AuditSubject> = {}): AuditSubject {
  const [path = '', query = ''] = url.split('?');
  return {
    auditId: 'id-1',
    uri: url,
    info: requestInfo(method, path, new URLSearchParams(query)),
    user: { name: 'u', groups: ['g'] },
    impersonated: undefined,
    sourceIps: ['192.0.2.1'],
    userAgent: 'kubectl/v1',
    receivedMs: 0,
    isLong: false,
    ...o,
  };
}

const CONFIGMAP = { metadata: { name: 'a', managedFields: [{ manager: 'm' }] }, data: { colour: 'red' } };
const URL = '/api/v1/namespaces/default/configmaps';

describe('the events of a request (audit.k8s.io/v1)', () => {
  test('RequestReceived, then ResponseComplete with what was sent and answered', async () => {
    const { auditor: a, events, clock } = await auditor();
    const call = begin(a, subject('POST', URL, { impersonated: { name: 'other', groups: [] } }));
    call?.decided(true);
    call?.body(CONFIGMAP);
    await clock.advance(5);
    call?.complete({ code: 201, object: { ...CONFIGMAP, kind: 'ConfigMap' } });
    expect(events.map((e) => e.stage)).toEqual(['RequestReceived', 'ResponseComplete']);
    expect(events[0]?.requestObject).toBeUndefined();
    expect(events[1]).toEqual({
      kind: 'Event',
      apiVersion: 'audit.k8s.io/v1',
      level: 'RequestResponse',
      auditID: 'id-1',
      stage: 'ResponseComplete',
      requestURI: URL,
      verb: 'create',
      user: { username: 'u', groups: ['g'] },
      impersonatedUser: { username: 'other', groups: [] },
      sourceIPs: ['192.0.2.1'],
      userAgent: 'kubectl/v1',
      objectRef: { resource: 'configmaps', namespace: 'default', name: 'a', apiVersion: 'v1' },
      responseStatus: { metadata: {}, code: 201 },
      requestObject: CONFIGMAP,
      responseObject: { ...CONFIGMAP, kind: 'ConfigMap' },
      requestReceivedTimestamp: '1970-01-01T00:00:00.000000Z',
      stageTimestamp: '2023-11-14T22:13:20.005000Z',
      annotations: { 'authorization.k8s.io/decision': 'allow' },
    });
  });

  test('a level has what it says, and omitted stages and managed fields are left out', async () => {
    const policy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, users: [meta]}
- {level: Request, users: [u], omitManagedFields: true}
- {level: None}`;
    const { auditor: a, events } = await auditor(policy);
    for (const name of ['meta', 'u', 'nobody']) {
      const call = begin(a, subject('PUT', `${URL}/a`, { user: { name, groups: [] } }));
      call?.body(CONFIGMAP);
      call?.complete({ code: 200, object: CONFIGMAP });
    }
    expect(events.map((e) => [e.level, e.requestObject, e.responseObject])).toEqual([
      ['Metadata', undefined, undefined],
      ['Request', { metadata: { name: 'a' }, data: { colour: 'red' } }, undefined],
    ]);
  });

  test('a watch has a stage when it begins', async () => {
    const { auditor: a, events } = await auditor();
    const call = begin(a, subject('GET', `${URL}?watch=true`, { isLong: true }));
    call?.started(200);
    call?.complete({ code: 200 });
    expect(events.map((e) => e.stage)).toEqual(['RequestReceived', 'ResponseStarted', 'ResponseComplete']);
    expect(events[0]).toMatchObject({ verb: 'watch', objectRef: { resource: 'configmaps' } });
  });

  test('who is not known, and what went wrong', async () => {
    const { auditor: a, events } = await auditor();
    const error = new StatusError('Unauthorized', 'Unauthorized');
    begin(a, subject('GET', '/version', { user: undefined }))?.complete({ code: 401, error });
    expect(events[1]).toMatchObject({
      user: {},
      responseStatus: { status: 'Failure', reason: 'Unauthorized', message: 'Unauthorized', code: 401 },
    });
    expect(events[1]?.objectRef).toBeUndefined();
  });

  test('a patch of a webhook is recorded where bodies are, without credentials; of a sealed kind nothing that may quote it', async () => {
    const key = 'patch.webhook.admission.k8s.io/round_0_index_0';
    const operations = [
      { op: 'add', path: '/data/password', value: 'hidden-value' },
      { op: 'add', path: '/data/colour', value: 'red' },
    ];
    const patch = JSON.stringify({ configuration: 'c', webhook: 'w', patch: operations, patchType: 'JSONPatch' });
    const told = async (url: string, level: string): Promise<Readonly<Record<string, string>>> => {
      const { auditor: a, events } = await auditor(EVERYTHING.replace('RequestResponse', level));
      const call = begin(a, subject('POST', url));
      call?.annotate(key, patch);
      call?.annotate('mutation.webhook.admission.k8s.io/round_0_index_0', '{"mutated":true}');
      call?.annotate('patch.webhook.admission.k8s.io/own', 'no JSON');
      call?.annotate('policy.example.com/value', 'hidden-value', 'words');
      call?.complete({ code: 201 });
      return events.at(-1)?.annotations ?? {};
    };
    expect(await told(URL, 'Metadata')).not.toHaveProperty([key]);
    const recorded = await told(URL, 'Request');
    expect(recorded[key]).toContain('red');
    expect(recorded[key]).not.toContain('hidden-value');
    expect(recorded['patch.webhook.admission.k8s.io/own']).toBe('[redacted]');
    expect(recorded['policy.example.com/value']).toBe('hidden-value');
    expect(await told(URL.replace('configmaps', 'secrets'), 'RequestResponse')).toEqual({
      'mutation.webhook.admission.k8s.io/round_0_index_0': '{"mutated":true}',
      'policy.example.com/value': '[redacted]',
    });
  });

  test('long headers are cut', async () => {
    const { auditor: a, events } = await auditor();
    begin(a, subject('GET', '/version', { auditId: 'x'.repeat(9_999), userAgent: 'y'.repeat(9_999) }));
    expect(events[0]?.auditID).toHaveLength(64);
    expect(events[0]?.userAgent).toMatch(/^y{1024}\.\.\.TRUNCATED$/);
  });

  test('sourceIps: the proxies told of, then the peer; what is no address is left out', () => {
    expect(sourceIps('203.0.113.7, nonsense, 10.0.0.1', '10.0.0.9', '::ffff:192.0.2.1')).toEqual([
      '203.0.113.7',
      '10.0.0.1',
      '10.0.0.9',
      '192.0.2.1',
    ]);
    expect(sourceIps('', '', '192.0.2.1')).toEqual(['192.0.2.1']);
    expect(sourceIps('1.1.1.1,'.repeat(100_000), '', '192.0.2.1').length).toBeLessThanOrEqual(34);
  });
});

const JWT = `eyJhbGciOiJSUzI1NiJ9.${'a'.repeat(40)}.${'b'.repeat(40)}`;

describe('what never appears', () => {
  test.each([
    ['a secret', 'POST', '/api/v1/namespaces/default/secrets'],
    ['a list of secrets', 'GET', '/api/v1/secrets'],
    ['a patch of a secret', 'PATCH', '/api/v1/namespaces/default/secrets/a'],
    ['a token request', 'POST', '/api/v1/namespaces/default/serviceaccounts/a/token'],
    ['a token review', 'POST', '/apis/authentication.k8s.io/v1/tokenreviews'],
  ])('the body of %s, whatever the policy says', async (_name, method, url) => {
    const { auditor: a, events } = await auditor();
    const call = begin(a, subject(method, url));
    call?.body({ metadata: { name: 'a' }, data: { a: 'hidden' }, spec: { token: 'hidden' } });
    call?.complete({ code: 200, object: { data: { a: 'hidden' }, status: { token: 'hidden' } } });
    const other = begin(a, subject(method, url));
    other?.complete({ code: 400, error: new StatusError('BadRequest', 'Unexpected token in "hidden" at 1') });
    expect(events).toHaveLength(4);
    expect(events.every((e) => e.level === 'Metadata')).toBe(true);
    expect(JSON.stringify(events)).not.toContain('hidden');
  });

  test('what an admission policy or a broken patch says of a secret; who was refused by rules is told why', async () => {
    const { auditor: a, events } = await auditor();
    const url = '/api/v1/namespaces/default/secrets/a';
    for (const kind of ['Forbidden', 'Internal', 'Invalid'] as const) {
      const call = begin(a, subject('PATCH', url));
      call?.decided(true);
      call?.complete({ code: 400, error: new StatusError(kind, 'denied: data.password is "hidden"') });
    }
    const refused = begin(a, subject('PATCH', url));
    refused?.decided(false);
    refused?.complete({ code: 403, error: new StatusError('Forbidden', 'User "u" cannot patch') });
    expect(JSON.stringify(events)).not.toContain('hidden');
    expect(events.at(-1)?.responseStatus?.message).toBe('User "u" cannot patch');
  });

  test('annotations that quote: parts of bodies where bodies are recorded, words of anything but secrets', async () => {
    const annotated = async (level: string, url: string) => {
      const { auditor: a, events } = await auditor(EVERYTHING.replace('RequestResponse', level));
      const call = begin(a, subject('POST', url));
      call?.annotate('fact', 'f');
      call?.annotate('fact', 'second');
      call?.annotate('words', 'w', 'words');
      call?.annotate('patch', JSON.stringify({ patch: [{ value: 'abcdef.0123456789abcdef', path: '/a' }] }), 'body');
      call?.complete({ code: 201 });
      return events.at(-1)?.annotations;
    };
    const secrets = '/api/v1/namespaces/default/secrets';
    const patch = '{"patch":[{"value":"[redacted]","path":"/a"}]}';
    expect(await annotated('RequestResponse', URL)).toEqual({ fact: 'f', words: 'w', patch });
    expect(await annotated('Request', URL)).toEqual({ fact: 'f', words: 'w', patch });
    expect(await annotated('Metadata', URL)).toEqual({ fact: 'f', words: 'w' });
    expect(await annotated('RequestResponse', secrets)).toEqual({ fact: 'f', words: '[redacted]' });
  });

  test('a name of megabytes, which no object has', async () => {
    const { auditor: a, events } = await auditor();
    const call = begin(a, subject('POST', '/api/v1/namespaces/default/secrets'));
    call?.body({ metadata: { name: 'x'.repeat(3_000_000), uid: 'y'.repeat(3_000_000) } });
    call?.complete({ code: 422 });
    expect(JSON.stringify(events).length).toBeLessThan(5_000);
  });

  test.each<[string, unknown]>([
    ['a token in a ConfigMap', { data: { token: 'hidden' } }],
    ['a kubeconfig with a token', { data: { kubeconfig: `user:\n  x: ${JWT}\n hidden` } }],
    ['a key in any string', { spec: { text: 'hidden -----BEGIN RSA PRIVATE KEY-----' } }],
    ['a bootstrap token', { data: { config: 'hidden abcdef.0123456789abcdef' } }],
    ['an environment variable', { spec: { containers: [{ env: [{ name: 'DB_PASSWORD', value: 'hidden' }] }] } }],
    ['a JSON patch of such a key', [{ op: 'add', path: '/data/apiKey', value: 'hidden' }]],
    [
      'what kubectl applied last',
      { metadata: { annotations: { 'kubectl.kubernetes.io/last-applied-configuration': 'hidden' } } },
    ],
  ])('%s', async (_name, body) => {
    const { auditor: a, events } = await auditor();
    const call = begin(a, subject('PUT', `${URL}/a`));
    call?.body(body);
    call?.complete({ code: 200, object: { items: [body] } });
    expect(JSON.stringify(events)).toContain('[redacted]');
    expect(JSON.stringify(events)).not.toContain('hidden');
  });

  test('all else stays as it was', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string({ maxLength: 5 }), fc.oneof(fc.integer(), fc.string({ maxLength: 9 }))),
        (spec) => {
          const body = { metadata: { name: 'a', managedFields: [] }, spec };
          expect(redacted(body, { omitManagedFields: false })).toEqual(body);
        },
      ),
    );
    const proto: unknown = JSON.parse('{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}');
    expect(JSON.stringify(redacted(proto, { omitManagedFields: false }))).toBe(JSON.stringify(proto));
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });

  test('a hostile body takes no time out of proportion', () => {
    const startedMs = cpuMs();
    for (const piece of ['eyJ', 'a.', 'abcdef.', '-', 'eyJ.'])
      redacted({ a: piece.repeat(1_000_000) }, { omitManagedFields: false });
    expect(cpuMs() - startedMs).toBeLessThan(5_000);
  });
});
