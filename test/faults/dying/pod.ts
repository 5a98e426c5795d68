/**
 * The pod whose every step is cut: an init container, a sidecar, two apps that share a process namespace, volumes of each
 * way in which a node makes them, a preStop hook and a port of the host.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Kinds, type Pod } from '#lib/api';
import type { Ctx } from '#lib/base';
import type { Client } from '#lib/client';

/** What must run, once each. */
export const RUNNING = ['one', 'side', 'two'];
export const NAMESPACE = 'default';

/** Writes down that it began, and ends on TERM. */
const run = (name: string): string[] => [
  'sh',
  '-c',
  `echo ${name} >> /shared/began; trap 'exit 0' TERM; while true; do sleep 3600 & wait $!; done`,
];

const MOUNTS = [
  { name: 'shared', mountPath: '/shared' },
  { name: 'disk', mountPath: '/disk' },
  { name: 'memory', mountPath: '/memory' },
  { name: 'disk', mountPath: '/part', subPath: 'part' },
  { name: 'settings', mountPath: '/settings' },
  { name: 'secret', mountPath: '/secret' },
  { name: 'all', mountPath: '/all' },
  { name: 'claim', mountPath: '/claim' },
];

const PROBE = {
  exec: { command: ['sh', '-c', 'test ! -e /shared/sick'] },
  initialDelaySeconds: 2,
  periodSeconds: 1,
  failureThreshold: 1,
};

/** What pods name. */
export async function makeSources(client: Client, folder: string, c: Ctx): Promise<void> {
  const namespace = NAMESPACE;
  await mkdir(join(folder, 'volume'), { recursive: true });
  await client.create(Kinds.configmaps, { metadata: { name: 'settings', namespace }, data: { a: '1' } }, c);
  await client.create(Kinds.secrets, { metadata: { name: 'secret', namespace }, stringData: { b: '2' } }, c);
  const capacity = { storage: '1Gi' };
  const accessModes = ['ReadWriteOnce'];
  const claim = await client.create(
    Kinds.persistentvolumeclaims,
    {
      metadata: { name: 'claim', namespace, annotations: { 'pv.kubernetes.io/bind-completed': 'yes' } },
      spec: { accessModes, resources: { requests: capacity }, storageClassName: '', volumeName: 'volume' },
    },
    c,
  );
  const claimRef = { kind: 'PersistentVolumeClaim', namespace, name: 'claim', uid: claim.metadata.uid ?? '' };
  await client.create(
    Kinds.persistentvolumes,
    {
      metadata: { name: 'volume' },
      spec: { capacity, accessModes, claimRef, hostPath: { path: join(folder, 'volume') } },
    },
    c,
  );
  const body = { status: { phase: 'Bound', accessModes, capacity } };
  await client.patch(Kinds.persistentvolumeclaims, { namespace, name: 'claim' }, { type: 'merge', body }, c, {
    subresource: 'status',
  });
}

export interface PodOptions {
  readonly name: string;
  readonly nodeName: string;
  readonly image: string;
  /** Of the host, for what its containers write down: `began`, `stopped`. */
  readonly folder: string;
  readonly hostPort: number;
  /** Container two is sick while its folder holds a file `sick`. */
  readonly isProbed?: boolean | undefined;
}

export function podSpec(o: PodOptions): Pick<Pod, 'metadata' | 'spec'> {
  const container = (name: string, command: readonly string[]): NonNullable<Pod['spec']>['containers'][number] => ({
    name,
    image: o.image,
    command: [...command],
    volumeMounts: MOUNTS,
  });
  return {
    metadata: { name: o.name, namespace: NAMESPACE },
    spec: {
      nodeName: o.nodeName,
      shareProcessNamespace: true,
      terminationGracePeriodSeconds: 5,
      securityContext: { fsGroup: 1234, sysctls: [{ name: 'net.ipv4.ip_local_port_range', value: '20000 30000' }] },
      initContainers: [
        { ...container('side', run('side')), restartPolicy: 'Always' },
        container('init', ['sh', '-c', 'echo init >> /shared/began; echo 1 > /disk/part/file']),
      ],
      containers: [
        {
          ...container('one', run('one')),
          ports: [{ containerPort: 8080, hostPort: o.hostPort }],
          lifecycle: { preStop: { exec: { command: ['sh', '-c', 'echo stopped >> /shared/stopped'] } } },
          resources: { limits: { memory: '64Mi', cpu: '500m' } },
        },
        { ...container('two', run('two')), ...(o.isProbed === true ? { livenessProbe: PROBE } : {}) },
      ],
      volumes: [
        { name: 'shared', hostPath: { path: o.folder, type: 'DirectoryOrCreate' } },
        { name: 'disk', emptyDir: {} },
        { name: 'memory', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } },
        { name: 'settings', configMap: { name: 'settings' } },
        { name: 'secret', secret: { secretName: 'secret' } },
        {
          name: 'all',
          projected: {
            sources: [
              { configMap: { name: 'settings' } },
              { downwardAPI: { items: [{ path: 'name', fieldRef: { fieldPath: 'metadata.name' } }] } },
            ],
          },
        },
        { name: 'claim', persistentVolumeClaim: { claimName: 'claim' } },
      ],
    },
  };
}
