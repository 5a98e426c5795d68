/** metrics.k8s.io, which the server makes of what nodes measure: asked of the probe's node, whose figures are known. */
import { Kinds, METRICS_KINDS, NODE_METRICS } from '#lib/api';
import type { NodeStats } from '#lib/client';
import { type Asker, outcomesOf, requireHeld } from './outcome.ts';
import type { Probed } from './probe.ts';
import { NODE_NAME, type ProbeNode } from './probe-node.ts';
import { NAMESPACE } from './resource.ts';

/** After `prepare`: of the node and the pod that runs there. */
export async function probeMetrics(node: ProbeNode, { client, c }: Asker): Promise<readonly Probed[]> {
  const pod = { namespace: NAMESPACE, name: 'running' };
  const { uid = '' } = (await client.get(Kinds.pods, pod, c)).metadata;
  const usage = { timestampMs: c.clock.now(), windowMs: 10_000, cpuNanoCores: 1_500_000_000, workingSetBytes: 1 << 20 };
  const stats: NodeStats = { node: usage, pods: [{ ...pod, uid, containers: [{ name: 'main', usage }] }] };
  node.stats = JSON.stringify(stats);
  const figures = { cpu: '1500000000n', memory: '1024Ki' };
  const probed: Probed[] = [];
  for (const kind of METRICS_KINDS) {
    const isOfNodes = kind.resource === NODE_METRICS.resource;
    const key = isOfNodes ? { namespace: '', name: NODE_NAME } : pod;
    const wanted = {
      metadata: { name: key.name },
      ...(isOfNodes ? { usage: figures } : { containers: [{ name: 'main', usage: figures }] }),
    };
    const verbs = await outcomesOf(kind.verbs, {
      get: async () => requireHeld(await client.get(kind, key, c), wanted),
      list: async () => requireHeld((await client.list(kind, { namespace: key.namespace }, c)).items, [wanted]),
    });
    probed.push({ resource: { kind, state: 'answered: what nodes measure' }, verbs, subresources: new Map() });
  }
  return probed;
}
