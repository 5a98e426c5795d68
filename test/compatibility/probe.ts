/** All that is asked of one resource: its verbs, its subresources and theirs. */
import { Kinds, type KubeObject, type Pod } from '#lib/api';
import { answeredKind } from './answered.ts';
import { type Calls, type Outcomes, outcomesOf } from './outcome.ts';
import { HTTP_PORT, NODE_NAME } from './probe-node.ts';
import { keyOf, NAMESPACE, type Resource } from './resource.ts';
import { probeStored } from './stored.ts';
import { STREAM_SUBRESOURCES, type StreamAsker } from './streams.ts';
import { OBJECT_SUBRESOURCES } from './subresources.ts';

export interface Probed {
  readonly resource: Pick<Resource, 'kind' | 'state'>;
  readonly verbs: Outcomes;
  readonly subresources: ReadonlyMap<string, Outcomes>;
}

export async function probe(r: Resource, a: StreamAsker): Promise<Probed> {
  const answered = answeredKind(r.kind.resource);
  if (answered !== undefined)
    return {
      resource: { ...r, state: answered.state },
      verbs: await outcomesOf(r.verbs, answered.calls(r.kind, a)),
      subresources: new Map(),
    };
  const { object } = r;
  if (object === undefined) throw new Error(`no good object of ${r.kind.kind}`);
  const stored = await probeStored(r, object, a);
  const subresources = new Map<string, Outcomes>();
  for (const { name, verbs } of r.subresources)
    subresources.set(name, await outcomesOf(verbs, subresourceCalls(r, name, object(1), a)));
  return { resource: r, verbs: new Map([...stored.verbs, ...(await stored.removals())]), subresources };
}

/** Streams are asked of what runs on the probe's node. */
function subresourceCalls(r: Resource, name: string, object: KubeObject, a: StreamAsker): Calls {
  const stream = STREAM_SUBRESOURCES[name];
  if (stream !== undefined) return stream(r, { metadata: { name: RUNNING[r.kind.resource] ?? '' } } as KubeObject, a);
  const found = OBJECT_SUBRESOURCES[`${r.kind.resource}/${name}`] ?? OBJECT_SUBRESOURCES[name];
  return found?.(r, object, a) ?? {};
}

const RUNNING: Readonly<Record<string, string>> = { pods: 'running', services: 'running', nodes: NODE_NAME };
const POD_IP = '10.42.0.5';

/** A node with a pod that runs, behind a service. */
export async function prepare({ client, c }: StreamAsker): Promise<void> {
  const metadata = { name: 'running', namespace: NAMESPACE };
  const ports = [{ containerPort: HTTP_PORT }];
  await client.create(Kinds.nodes, { metadata: { name: NODE_NAME }, spec: {} }, c);
  await setStatus(Kinds.nodes, NODE_NAME, { addresses: [{ type: 'InternalIP', address: '192.0.2.7' }] });
  const spec = { nodeName: NODE_NAME, containers: [{ name: 'main', image: 'x', ports }] };
  await client.create<Pod>(Kinds.pods, { metadata, spec }, c);
  await setStatus(Kinds.pods, 'running', { phase: 'Running', podIP: POD_IP, podIPs: [{ ip: POD_IP }] });
  await client.create(Kinds.services, { metadata, spec: { ports: [{ port: 80, targetPort: HTTP_PORT }] } }, c);
  const targetRef = { kind: 'Pod', ...metadata };
  const subsets = [{ addresses: [{ ip: POD_IP, targetRef }], ports: [{ port: HTTP_PORT }] }];
  await client.create(Kinds.endpoints, { metadata, subsets }, c);

  async function setStatus(kind: typeof Kinds.pods | typeof Kinds.nodes, name: string, status: object): Promise<void> {
    const key = keyOf(kind, { metadata: { name } } as KubeObject);
    await client.patch<KubeObject>(kind, key, { type: 'merge', body: { status } }, c, { subresource: 'status' });
  }
}
