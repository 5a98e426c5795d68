import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Kinds } from '#lib/api';
import { realClock } from '#lib/base';
import { testContext as c, startTestServer, type TestServer } from '../../testing/server.ts';
import { addMutating, addValidating, configMap, jsonPatch, refusalOf } from './testing/policies.ts';

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

const HEAVY =
  '[1,2,3,4,5,6,7,8,9,0].all(a, [1,2,3,4,5,6,7,8,9,0].all(b, [1,2,3,4,5,6,7,8,9,0].all(c, [1,2,3,4,5,6,7,8,9,0].all(d, [1,2,3,4,5,6,7,8,9,0].all(e, [1,2,3,4,5,6,7,8,9,0].all(f, a + b + c + d + e + f >= 0))))))';

describe('hostile expressions', () => {
  test('a call, and all calls together, are bounded', async () => {
    const p = await policy({ validations: [{ expression: HEAVY }] });
    const before = realClock.monotonic();
    expect(await dry(p)).toContain('operation cancelled: actual cost limit exceeded');
    const many = await policy({ validations: new Array(100).fill({ expression: HEAVY }) });
    expect(await dry(many)).toContain('validation failed due to running out of cost budget');
    const variables = Array.from({ length: 50 }, (_, i) => ({ name: `v${i}`, expression: HEAVY }));
    const lazy = await policy({
      variables,
      validations: [{ expression: variables.map(({ name }) => `(variables.${name} || true)`).join(' && ') }],
    });
    expect(await dry(lazy)).toContain('validation failed due to running out of cost budget');
    expect(realClock.monotonic() - before).toBeLessThan(30_000);
  });

  test('others have their turn meanwhile', async () => {
    const p = await policy({ validations: new Array(8).fill({ expression: HEAVY }) });
    await dry(p);
    let turns = 0;
    let isOver = false;
    const attempt = p.create().catch((e: Error) => e.message);
    const ticking = (async () => {
      for (; !isOver; turns++) await realClock.sleep(0);
    })();
    expect(await attempt).toContain('operation cancelled');
    isOver = true;
    await ticking;
    expect(turns).toBeGreaterThan(5);
  });

  test('a long chain of variables neither crashes nor is lost', async () => {
    const variables = Array.from({ length: 3_000 }, (_, i) => ({
      name: `v${i}`,
      expression: i === 0 ? '1' : `variables.v${i - 1} + 1`,
    }));
    const p = await policy({ variables, validations: [{ expression: 'variables.v2999 == 0' }] });
    expect(await dry(p)).toContain('denied request');
  });

  test.each([
    ['doubled', 41, (before: string) => `${before} + ${before}`],
    ['nested', 400, (before: string) => `[[[${before}]]]`],
  ])('values that share their parts do not become JSON without end: %s', async (what, depth, next) => {
    const variables = Array.from({ length: depth }, (_, i) => ({
      name: `v${i}`,
      expression: i === 0 ? "['x']" : next(`variables.v${i - 1}`),
    }));
    const name = `large-${what}`;
    const value = `variables.v${depth - 1}`;
    const mutations = [jsonPatch(`[JSONPatch{op: 'add', path: '/data', value: ${value}}]`)];
    const matchResources = { objectSelector: { matchLabels: { of: name } } };
    await addMutating(server, name, { variables, mutations }, { matchResources });
    const body = () => configMap(`c${++count}`, {}, { of: name });
    expect(await refusalOf(() => server.client.create(Kinds.configmaps, body(), c))).toContain(
      'the expression gave a value that is too large',
    );
  });
});
