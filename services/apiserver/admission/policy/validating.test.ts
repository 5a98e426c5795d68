import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Kinds } from '#lib/api';
import { realClock } from '#lib/base';
import { MemoryStore } from '#lib/store';
import { testContext as c, eventually, startTestServer, type TestServer } from '../../testing/server.ts';
import { addValidating, configMap, refusalOf } from './testing/policies.ts';

let server: TestServer;
let count = 0;

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

/** Each policy sees objects of its own label only, so that tests do not meet. */
async function policy(spec: object, binding: object = {}) {
  const name = `p${++count}`;
  const objectSelector = { matchLabels: { of: name } };
  await addValidating(server, name, spec, { matchResources: { objectSelector }, ...binding });
  const create = (data: Record<string, string> = {}) =>
    server.client.create(Kinds.configmaps, configMap(`c${++count}`, data, { of: name }), c);
  return { name, create };
}

const dry = (p: { create: (data?: Record<string, string>) => Promise<unknown> }, data: Record<string, string> = {}) =>
  refusalOf(() => p.create(data));

describe('what a refusal says', () => {
  test('message, messageExpression, expression, in this order of preference', async () => {
    const p = await policy({
      validations: [
        { expression: "!has(object.data) || !('a' in object.data)", message: ' no a ' },
        {
          expression: "!has(object.data) || !('b' in object.data)",
          messageExpression: "'b is ' + object.data.b",
          message: 'no b',
          reason: 'Forbidden',
        },
        { expression: "!has(object.data) || !('d' in object.data)  " },
      ],
    });
    const who = `ValidatingAdmissionPolicy '${p.name}' with binding '${p.name}-b' denied request`;
    expect(await dry(p, { a: '1' })).toMatch(new RegExp(`^configmaps "c\\d+" is forbidden: ${who}: no a$`));
    expect(await dry(p, { d: '1' })).toContain(`${who}: failed expression: !has(object.data) || !('d' in object.data)`);
    await expect(p.create({ b: 'x' })).rejects.toMatchObject({
      kind: 'Forbidden',
      reason: 'Forbidden',
      details: { kind: 'configmaps', causes: [{ message: `${who}: b is x` }] },
    });
    await expect(p.create({ a: 'x' })).rejects.toMatchObject({ kind: 'Invalid', reason: 'Invalid' });
    await expect(p.create({ b: 'x\ny' })).rejects.toThrow(`${who}: no b`);
    await expect(p.create({})).resolves.toBeDefined();
  });

  test('an expression that fails refuses, unless failures are ignored', async () => {
    const validations = [{ expression: "object.data.none == 'x'" }];
    const p = await policy({ validations });
    expect(await dry(p, { a: '1' })).toContain(
      "denied request: expression 'object.data.none == 'x'' resulted in error: no such key: none",
    );
    const ignoring = await policy({ validations, failurePolicy: 'Ignore' });
    await eventually(async () => await ignoring.create({ a: '1' }));
    await expect(ignoring.create({ none: 'y' })).rejects.toThrow('failed expression');
  });
});

test('Warn and Audit let the request through', async () => {
  const p = await policy({ validations: [{ expression: 'false' }] }, { validationActions: ['Warn', 'Audit'] });
  await eventually(async () => {
    const warnings: string[] = [];
    const body = configMap(`c${++count}`, {}, { of: p.name });
    const user = { name: 'admin', groups: ['system:masters'] };
    const target = {
      user,
      kind: Kinds.configmaps,
      namespace: 'default',
      warn: (text: string) => void warnings.push(text),
    };
    await server.api.handler.handle({ ...target, verb: 'create', body, options: {} }, c);
    expect(warnings).toEqual([
      `Validation failed for ValidatingAdmissionPolicy '${p.name}' with binding '${p.name}-b': failed expression: false`,
    ]);
  });
});

test('variables see those before them, are lazy and typed; request, namespaceObject, oldObject', async () => {
  const p = await policy({
    variables: [
      { name: 'bad', expression: 'object.data.nothing' },
      { name: 'size', expression: 'has(object.data) ? size(object.data) : 0' },
      { name: 'double', expression: 'variables.size * 2' },
    ],
    validations: [
      { expression: 'variables.double < 4', messageExpression: "'double is ' + string(variables.double)" },
      {
        expression: "request.operation != 'UPDATE' || oldObject.data.size() <= object.data.size()",
        message: 'shrinks',
      },
      { expression: "namespaceObject.metadata.name == 'default' && request.namespace == 'default'" },
      { expression: "request.kind.kind == 'ConfigMap' && request.userInfo.username == 'admin' && !request.dryRun" },
    ],
  });
  expect(await dry(p, { a: '1', b: '2' })).toContain('double is 4');
  const made = await p.create({ a: '1' });
  await expect(
    server.client.update(Kinds.configmaps, { ...structuredClone(made), data: {} } as never, c),
  ).rejects.toThrow();
});

test('match conditions take requests out', async () => {
  const p = await policy({
    matchConditions: [{ name: 'x', expression: "has(object.data) && 'x' in object.data" }],
    validations: [{ expression: 'false' }],
  });
  expect(await dry(p, { x: '1' })).toContain('failed expression: false');
  await p.create({ y: '1' });
});

describe('params', () => {
  test('by name, by selector, none', async () => {
    await server.client.create(Kinds.configmaps, configMap('limits-a', { max: '1' }, { limits: 'yes' }), c);
    await server.client.create(Kinds.configmaps, configMap('limits-b', { max: '3' }, { limits: 'yes' }), c);
    const spec = {
      paramKind: { apiVersion: 'v1', kind: 'ConfigMap' },
      validations: [
        { expression: 'size(object.data) <= int(params.data.max)', messageExpression: "'over ' + params.data.max" },
      ],
    };
    const matching = (name: string) => ({ objectSelector: { matchLabels: { of: name } } });
    const bound = (paramRef: object) => policyWith(spec, { paramRef });
    const policyWith = async (s: object, binding: object) => {
      const name = `p${count + 1}`;
      return await policy(s, { ...binding, matchResources: matching(name) });
    };
    const named = await bound({ name: 'limits-a', parameterNotFoundAction: 'Deny' });
    expect(await dry(named, { a: '', b: '' })).toContain('over 1');
    const selected = await bound({ selector: { matchLabels: { limits: 'yes' } }, parameterNotFoundAction: 'Deny' });
    expect(await dry(selected, { a: '', b: '', c: '', d: '' })).toContain('over 1');
    expect(await dry(selected, { a: '', b: '' })).toContain('over 1');
    const missing = await bound({ name: 'nothing', parameterNotFoundAction: 'Deny' });
    expect(await dry(missing)).toContain(
      'failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction',
    );
    const allowed = await bound({ name: 'nothing', parameterNotFoundAction: 'Allow' });
    await allowed.create({ a: '', b: '' });
  });

  test('of a kind that is not served', async () => {
    const p = await policy({
      paramKind: { apiVersion: 'example.com/v1', kind: 'Limit' },
      validations: [{ expression: 'params != null' }],
    });
    expect(await dry(p)).toContain(
      `ValidatingAdmissionPolicy '${p.name}' denied request: failed to configure policy: failed to find resource referenced by paramKind: 'example.com/v1, Kind=Limit'`,
    );
    await server.client.delete(Kinds.validatingadmissionpolicies, { namespace: '', name: p.name }, {}, c);
  });
});

test('authorizer: the requester and service accounts', async () => {
  const p = await policy({
    validations: [
      { expression: "authorizer.requestResource.check('create').allowed()", message: 'not the requester' },
      {
        expression:
          "authorizer.serviceAccount('default', 'default').group('').resource('secrets').namespace('default').check('get').allowed()",
        message: 'not the account',
      },
    ],
  });
  expect(await dry(p)).toMatch(/: not the account$/);
});

test('expressions that do not compile are refused when they are written', async () => {
  const refused = async (spec: object) =>
    await server.client.create(Kinds.validatingadmissionpolicies, { metadata: { name: 'bad' }, spec } as never, c).then(
      () => 'taken',
      (e: Error) => e.message,
    );
  const matchConstraints = {
    resourceRules: [{ apiGroups: ['*'], apiVersions: ['*'], resources: ['*'], operations: ['*'] }],
  };
  expect(await refused({ matchConstraints, validations: [{ expression: 'object.x +' }] })).toMatch(
    /spec\.validations\[0\]\.expression: Invalid value: "object\.x \+": compilation failed: ERROR: <input>:1:\d+: /,
  );
  expect(await refused({ matchConstraints, validations: [{ expression: 'object.metadata.name' }] })).toContain(
    'must evaluate to bool but got dyn',
  );
  expect(await refused({ matchConstraints, validations: [{ expression: 'params.x == 1' }] })).toContain(
    "undeclared reference to 'params'",
  );
  expect(
    await refused({
      matchConstraints,
      validations: [{ expression: 'true', messageExpression: "authorizer.path('/').check('get').reason()" }],
    }),
  ).toContain("undeclared reference to 'authorizer'");
  expect(await refused({ matchConstraints, auditAnnotations: [{ key: 'k', valueExpression: '1' }] })).toContain(
    'must evaluate to one of [string null_type] but got int',
  );
  expect(
    await refused({
      matchConstraints,
      variables: [{ name: 'n', expression: '1' }],
      validations: [{ expression: "variables.n == 'x'" }],
    }),
  ).toContain("found no matching overload for '_==_' applied to '(int, string)'");
  expect(
    await refused({
      matchConstraints,
      matchConditions: [{ name: 'x', expression: 'object' }],
      validations: [{ expression: 'true' }],
    }),
  ).toContain('spec.matchConditions[0].expression: Invalid value: "object": must evaluate to bool but got dyn');
});

test('two servers on one store follow the same policies, and let go of them', async () => {
  const store = new MemoryStore({ clock: realClock });
  await using a = await startTestServer({ store });
  await using b = await startTestServer({ store });
  await addValidating(a, 'both', { validations: [{ expression: 'false', message: 'both' }] });
  const create = (name: string) => b.client.create(Kinds.configmaps, configMap(name), c);
  expect(await refusalOf(() => create(`x${++count}`))).toContain('both');
  const policy = await a.client.get(Kinds.validatingadmissionpolicies, { namespace: '', name: 'both' }, c);
  const next = structuredClone(policy) as never as { spec: { validations: object[] } };
  next.spec.validations = [{ expression: 'false', message: 'changed' }];
  await a.client.update(Kinds.validatingadmissionpolicies, next as never, c);
  await eventually(async () => await expect(create(`x${++count}`)).rejects.toThrow('changed'));
  await b.client.delete(Kinds.validatingadmissionpolicybindings, { namespace: '', name: 'both-b' }, {}, c);
  await eventually(async () => await a.client.create(Kinds.configmaps, configMap(`x${++count}`), c));
});
