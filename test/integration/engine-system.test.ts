/** The engine as a whole: a real one, by its socket. Needs root. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TestEngine } from '../harness/engine.ts';

let engine: TestEngine;
beforeAll(async () => {
  engine = await TestEngine.open();
});
afterAll(() => engine.close());

test('ping: OK with the headers that clients read, also unversioned and by HEAD', async () => {
  const got = await engine.get('/_ping');
  expect(got).toMatchObject({ status: 200, text: 'OK' });
  expect(got.headers).toMatchObject({
    'api-version': '1.51',
    ostype: 'linux',
    'docker-experimental': 'false',
    'builder-version': '1',
    swarm: 'inactive',
    'content-length': '2',
    pragma: 'no-cache',
  });
  const head = await engine.ask('HEAD', '/v1.24/_ping');
  expect(head).toMatchObject({ status: 200, text: '' });
  expect(head.headers['content-length']).toBe('0');
});

test('version: of the API, and one component with text details', async () => {
  const { json } = await engine.get('/v1.44/version');
  expect(json).toMatchObject({ ApiVersion: '1.51', MinAPIVersion: '1.24', Os: 'linux' });
  expect(json.Components[0].Name).toBe('Engine');
  for (const value of Object.values(json.Components[0].Details)) expect(typeof value).toBe('string');
});
