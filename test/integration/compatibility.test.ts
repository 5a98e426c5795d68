/**
 * docs/compatibility.md says what a server does when it is asked for every verb and subresource, and nothing else.
 * With UPDATE_GOLDEN=1 the document is written anew.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { allKinds } from '#lib/api';
import { messageOf } from '#lib/base';
import { MASTER, startTestServer, type TestServer, testContext } from '../../services/apiserver/testing/server.ts';
import { customResources, requireVersionsAndColumns } from '../compatibility/custom.ts';
import { probeMetrics } from '../compatibility/metrics.ts';
import { type Probed, prepare, probe } from '../compatibility/probe.ts';
import { ProbeNode } from '../compatibility/probe-node.ts';
import { builtIn, builtInKind, type Resource } from '../compatibility/resource.ts';
import type { StreamAsker } from '../compatibility/streams.ts';
import { compatibilityDocument, REWRITE } from '../compatibility/table.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const DOCUMENT = `${ROOT}docs/compatibility.md`;
const PROBES_MS = 120_000;

let node: ProbeNode;
let server: TestServer;
let admin: StreamAsker;
let custom: readonly Resource[];

beforeAll(async () => {
  node = await ProbeNode.open();
  server = await startTestServer({ listen: true, nodeStreams: node });
  admin = await asker(MASTER);
  await prepare(admin);
  custom = await customResources(admin);
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await node?.[Symbol.asyncDispose]();
});

async function asker(who: typeof MASTER): Promise<StreamAsker> {
  const { certPem: cert, keyPem: key } = await server.issueClient(who.commonName, who.organizations);
  const client = await server.http(who);
  return { client, c: testContext, url: server.url, tls: { ca: server.ca.certPem, cert, key } };
}

describe('docs/compatibility.md', () => {
  test(
    'is what a server does',
    async () => {
      const probed: Probed[] = [];
      const faults: string[] = [];
      for (const resource of [...allKinds().map(builtIn), ...custom])
        try {
          probed.push(await probe(resource, admin));
        } catch (e) {
          faults.push(`${nameOf(resource)}: ${messageOf(e)}`);
        }
      expect(faults).toEqual([]);
      const found = compatibilityDocument([...probed, ...(await probeMetrics(node, admin))]);
      if (process.env['UPDATE_GOLDEN'] === '1') await writeFile(DOCUMENT, found);
      const document = await readFile(DOCUMENT, 'utf8').catch(() => 'there is none');
      expect(found, `to write it anew: ${REWRITE}`).toBe(document);
    },
    PROBES_MS,
  );

  test('discovery lists what it lists', async () => {
    const listed = new Map<string, readonly string[]>();
    for (const path of new Set(allKinds().map((k) => (k.group === '' ? '/api/v1' : `/apis/${k.group}/${k.version}`)))) {
      const { resources } = (await admin.client.json({ method: 'GET', path }, testContext)) as DiscoveryDocument;
      for (const { name, verbs } of resources) listed.set(`${path}/${name}`, [...verbs].sort());
    }
    const expected = new Map<string, readonly string[]>();
    for (const k of allKinds()) {
      const path = `${k.group === '' ? '/api/v1' : `/apis/${k.group}/${k.version}`}/${k.resource}`;
      expected.set(path, [...k.verbs].sort());
      for (const s of k.subresources) expected.set(`${path}/${s.name}`, [...s.verbs].sort());
    }
    expect(Object.fromEntries(listed)).toEqual(Object.fromEntries(expected));
  });
});

interface DiscoveryDocument {
  readonly resources: readonly { readonly name: string; readonly verbs: readonly string[] }[];
}

function nameOf({ kind }: Resource): string {
  return `${kind.resource} of ${kind.group === '' ? kind.version : `${kind.group}/${kind.version}`}`;
}

describe('a probe', () => {
  test('of one who may do nothing: every verb is refused, and the document says so', async () => {
    const stranger = await asker({ commonName: 'nobody', organizations: [] });
    const probed = await probe(builtIn(builtInKind('', 'v1', 'configmaps')), stranger);
    expect([...probed.verbs.values()]).toEqual(Array.from({ length: 8 }, () => ({ refused: 'Forbidden' })));
    expect(compatibilityDocument([probed])).toContain('| **refused**: create (Forbidden), get (Forbidden)');
  });
});

test('a custom resource: two versions of one object, and the columns of its definition', async () => {
  await requireVersionsAndColumns(custom, admin);
});
