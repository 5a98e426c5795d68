/** docs/compatibility.md says what a server does when it is asked, and nothing else. */
import { readFile, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { allKinds } from '#lib/api';
import { startTestServer, type TestServer, testContext } from '../../services/apiserver/testing/server.ts';
import { ACTED_ON } from '../compatibility/acted-on.ts';
import { probeVerbs } from '../compatibility/probe.ts';
import { compatibilityTable, type ProbedKind } from '../compatibility/table.ts';

const ROOT = new URL('../../', import.meta.url);
const TABLE = new URL('docs/compatibility.md', ROOT);
let server: TestServer;

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
});

test.each(Object.entries(ACTED_ON))('%s is acted on in %s', async (resource, file) => {
  expect(await readFile(new URL(file, ROOT), 'utf8')).toMatch(new RegExp(`\\bKinds\\.${resource}\\b`));
});

test('docs/compatibility.md is what a server does (UPDATE_GOLDEN=1 writes it anew)', async () => {
  const probed: ProbedKind[] = [];
  for (const kind of allKinds())
    if (kind.verbs.includes('create') && kind.verbs.includes('get'))
      probed.push({ kind, verbs: await probeVerbs(server.client, kind, testContext) });
  const found = compatibilityTable(probed);
  if (process.env['UPDATE_GOLDEN'] === '1') await writeFile(TABLE, found);
  expect(await readFile(TABLE, 'utf8').catch(() => 'there is none')).toBe(found);
});

test('a verb that is refused is said to be', async () => {
  const kind = allKinds().find((k) => k.resource === 'configmaps');
  if (kind === undefined) throw new Error('no configmaps');
  const stranger = server.as({ name: 'nobody', groups: ['system:authenticated'] });
  const verbs = await probeVerbs(stranger, kind, testContext);
  expect(Object.fromEntries(verbs)).toMatchObject({ create: { refused: 'Forbidden' }, delete: { refused: 'Forbidden' } });
  expect(compatibilityTable([{ kind, verbs }])).toContain('| configmaps v1 | refused |  | create (Forbidden)');
});
