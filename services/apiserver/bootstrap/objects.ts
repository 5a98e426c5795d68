/**
 * What a fresh cluster must have before anybody uses it (kubernetes-api.md 25), made through the API itself, by any number
 * of replicas at once: creating what exists already is success. Looked after for as long as the server runs.
 * Source: pkg/controlplane/controller/{kubernetesservice,systemnamespaces}.
 */
import { type KindRef, Kinds, type KubeObject } from '#lib/api';
import { type Ctx, isKind } from '#lib/base';
import type { Client } from '#lib/client';
import { nthAddress } from '../allocator/ipv4.ts';
import type { ApiServerConfig } from '../server.ts';
import { ensureFlowControl } from './flow-control.ts';
import { ensureStorageClass } from './storage-class.ts';

const NAMESPACES = ['default', 'kube-system', 'kube-public', 'kube-node-lease'];

/** Kubernetes looks after its own service as often. */
const KEEP_MS = 10_000;

type NewObject = Omit<KubeObject, 'apiVersion' | 'kind'> & Record<string, unknown>;

/** Until the signal aborts: who deletes all services of `default` must not cut every pod off from the API for good. */
export async function keepBootstrapObjects(client: Client, config: ApiServerConfig, c: Ctx): Promise<void> {
  for (;;) {
    await c.clock.sleep(KEEP_MS, c.signal);
    try {
      await ensureBootstrapObjects(client, config, c);
    } catch (err) {
      if (c.signal.aborted) throw err;
      c.log.warn({ err }, 'making the objects of the system anew failed; tried again');
    }
  }
}

export async function ensureBootstrapObjects(client: Client, config: ApiServerConfig, c: Ctx): Promise<void> {
  const ensure = async (kind: KindRef, object: NewObject): Promise<void> => {
    const key = { namespace: object.metadata.namespace ?? '', name: object.metadata.name };
    try {
      await client.get(kind, key, c);
      return;
    } catch (e) {
      if (!isKind(e, 'NotFound')) throw e;
    }
    try {
      await client.create(kind, object, c);
    } catch (e) {
      if (!isKind(e, 'AlreadyExists')) throw e;
    }
  };
  for (const name of NAMESPACES) await ensure(Kinds.namespaces, { metadata: { name } });
  for (const [name, value, description] of PRIORITY_CLASSES)
    await ensure(Kinds.priorityclasses, {
      metadata: { name },
      value,
      preemptionPolicy: 'PreemptLowerPriority',
      description,
    });
  await ensure(Kinds.services, kubernetesService(config));
  await ensure(Kinds.services, dnsService(config));
  await ensureStorageClass(client, c);
  await ensureFlowControl(client, c);
}

const PRIORITY_CLASSES: readonly (readonly [string, number, string])[] = [
  [
    'system-cluster-critical',
    2_000_000_000,
    'Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.',
  ],
  [
    'system-node-critical',
    2_000_001_000,
    'Used for system critical pods that must not be moved from their current node.',
  ],
];

function kubernetesService(config: ApiServerConfig): NewObject {
  const clusterIp = nthAddress(config.serviceCidr, 1);
  return {
    metadata: {
      name: 'kubernetes',
      namespace: 'default',
      labels: { component: 'apiserver', provider: 'kubernetes' },
    },
    spec: {
      type: 'ClusterIP',
      clusterIP: clusterIp,
      clusterIPs: [clusterIp],
      ipFamilies: ['IPv4'],
      ipFamilyPolicy: 'SingleStack',
      sessionAffinity: 'None',
      ports: [{ name: 'https', port: 443, protocol: 'TCP', targetPort: config.advertise.port }],
    },
  };
}

/** No selector: every node answers DNS itself at this address. */
function dnsService(config: ApiServerConfig): NewObject {
  const clusterIp = nthAddress(config.serviceCidr, 10);
  return {
    metadata: {
      name: 'kube-dns',
      namespace: 'kube-system',
      labels: { 'k8s-app': 'kube-dns', 'kubernetes.io/cluster-service': 'true', 'kubernetes.io/name': 'CoreDNS' },
    },
    spec: {
      type: 'ClusterIP',
      clusterIP: clusterIp,
      clusterIPs: [clusterIp],
      ports: [
        { name: 'dns', port: 53, protocol: 'UDP', targetPort: 53 },
        { name: 'dns-tcp', port: 53, protocol: 'TCP', targetPort: 53 },
      ],
    },
  };
}
