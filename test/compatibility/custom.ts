/** A custom resource to probe: its definition has two versions, status, scale and columns of its own. */
import { type CustomResourceDefinition, isConditionTrue, type KindRef, Kinds, type KubeObject } from '#lib/api';
import { resourcePath } from '#lib/client';
import { type Asker, requireHeld } from './outcome.ts';
import { NAMESPACE, type Resource } from './resource.ts';

const GROUP = 'custom.example.com';
const PLURAL = 'gadgets';
const ESTABLISHED_MS = 5_000;
const VERSIONS = ['v1', 'v1beta1'];

const COUNT = { type: 'integer' };
const SCHEMA = {
  type: 'object',
  properties: {
    spec: { type: 'object', properties: { color: { type: 'string' }, replicas: COUNT } },
    status: { type: 'object', properties: { phase: { type: 'string' }, replicas: COUNT } },
  },
};

const DEFINITION: CustomResourceDefinition = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: `${PLURAL}.${GROUP}` },
  spec: {
    group: GROUP,
    scope: 'Namespaced',
    names: { plural: PLURAL, kind: 'Gadget' },
    versions: VERSIONS.map((name) => ({
      name,
      served: true,
      storage: name === 'v1',
      schema: { openAPIV3Schema: SCHEMA },
      subresources: {
        status: {},
        scale: { specReplicasPath: '.spec.replicas', statusReplicasPath: '.status.replicas' },
      },
      additionalPrinterColumns: [{ name: 'Color', type: 'string', jsonPath: '.spec.color' }],
    })),
  },
};

interface DiscoveryRow {
  readonly name: string;
  readonly verbs: readonly string[];
}

/** Makes the definition; gives the resource of each version, with the verbs and subresources that discovery lists. */
export async function customResources(a: Asker): Promise<readonly Resource[]> {
  await a.client.create(Kinds.customresourcedefinitions, DEFINITION, a.c);
  await established(a);
  return await Promise.all(VERSIONS.map((version) => customResource(version, a)));
}

async function customResource(version: string, { client, c }: Asker): Promise<Resource> {
  const document = await client.json({ method: 'GET', path: `/apis/${GROUP}/${version}` }, c);
  const { resources } = document as { resources: readonly DiscoveryRow[] };
  const inside = (row: DiscoveryRow): readonly Resource['subresources'][number][] =>
    row.name.startsWith(`${PLURAL}/`) ? [{ name: row.name.slice(PLURAL.length + 1), verbs: row.verbs }] : [];
  return {
    kind: { group: GROUP, version, kind: 'Gadget', resource: PLURAL, namespaced: true },
    verbs: resources.find((row) => row.name === PLURAL)?.verbs ?? [],
    subresources: resources.flatMap(inside),
    object: (n) => gadget(version, n),
    status: [{ phase: 'Update' }, { phase: 'Patch' }],
    state: 'an example, with two versions, status, scale and columns',
  };
}

function gadget(version: string, n: number): KubeObject {
  const metadata = { name: `gadget-${n}`, namespace: NAMESPACE };
  const typed: KubeObject = { apiVersion: `${GROUP}/${version}`, kind: 'Gadget', metadata };
  return { ...typed, spec: { color: 'red', replicas: 1 } } as KubeObject;
}

async function established({ client, c }: Asker): Promise<void> {
  const deadline = c.clock.monotonic() + ESTABLISHED_MS;
  const key = { namespace: '', name: DEFINITION.metadata.name };
  for (;;) {
    const { status } = await client.get(Kinds.customresourcedefinitions, key, c);
    if (isConditionTrue(status?.conditions, 'Established')) return;
    if (c.clock.monotonic() > deadline) throw new Error('the definition is not established');
    await c.clock.sleep(10, c.signal);
  }
}

/** What is written in one version is read in the other, and a Table has the columns of the definition. */
export async function requireVersionsAndColumns(
  [first, second]: readonly Resource[],
  { client, c }: Asker,
): Promise<void> {
  if (first === undefined || second === undefined) throw new Error('there are no two versions');
  const object = gadget(first.kind.version, 9);
  const key = { namespace: NAMESPACE, name: object.metadata.name };
  await client.create(first.kind, object, c);
  requireHeld(await client.get(second.kind, key, c), {
    apiVersion: `${GROUP}/${second.kind.version}`,
    spec: { color: 'red' },
  });
  const path = resourcePath(second.kind as KindRef, key);
  const accept = 'application/json;as=Table;v=v1;g=meta.k8s.io';
  const table = await client.json({ method: 'GET', path, accept }, c);
  requireHeld(table, { columnDefinitions: [{ name: 'Color' }], rows: [{ cells: [key.name, 'red'] }] });
  await client.delete(first.kind, key, {}, c);
}
