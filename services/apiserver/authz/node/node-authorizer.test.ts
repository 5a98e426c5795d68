import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type KindRef, Kinds, type KubeObject, type Pod } from '#lib/api';
import { realClock, silentLogger } from '#lib/base';
import { MemoryStore } from '#lib/store';
import { nodeRules } from '../../bootstrap/rbac.ts';
import { encodeStored, storeKey } from '../../cache/cached.ts';
import { WatchCache } from '../../cache/watch-cache.ts';
import { KindRegistry } from '../../kind-registry.ts';
import { testContext as c } from '../../testing/server.ts';
import type { Attributes, Decision } from '../authorizer.ts';
import { NodeAuthorizer } from './node-authorizer.ts';
import { NodeGraph } from './node-graph.ts';

const kinds = new KindRegistry();
let store: MemoryStore;
let cache: WatchCache;
let authorizer: NodeAuthorizer;

beforeEach(async () => {
  store = new MemoryStore({ clock: realClock });
  cache = await WatchCache.open({ store, kinds, clock: realClock, log: silentLogger, freeze: true }, c);
  authorizer = new NodeAuthorizer({ graph: new NodeGraph(cache), rules: nodeRules() });
});
afterEach(async () => {
  await cache[Symbol.asyncDispose]();
});

async function put(
  kind: KindRef,
  object: { metadata: KubeObject['metadata'] } & Record<string, unknown>,
): Promise<void> {
  const info = kinds.of(kind);
  if (info === undefined) throw new Error(kind.resource);
  const { namespace = '', name } = object.metadata;
  const whole = { apiVersion: 'v1', kind: kind.kind, ...object };
  await store.create(storeKey(info, { namespace, name }), encodeStored(whole), {}, c);
  await cache.consistent(c);
}

async function putPod(
  name: string,
  nodeName: string,
  spec: object,
  annotations: Record<string, string> = {},
): Promise<void> {
  const metadata = { name, namespace: 'ns', annotations };
  await put(Kinds.pods, { metadata, spec: { nodeName, containers: [], ...spec } as unknown as Pod['spec'] });
}

function ask(verb: string, what: string, o: { node?: string; selector?: string } = {}): Decision {
  const [path = '', name = ''] = what.split(' ');
  const [full = '', group = ''] = path.split('@');
  const [resource = '', subresource = ''] = full.split('/');
  const isCluster = /^(nodes|persistentvolumes|volumeattachments|csinodes|resourceslices)$/.test(resource);
  const namespace = resource === 'leases' ? 'kube-node-lease' : isCluster ? '' : 'ns';
  const user = { name: `system:node:${o.node ?? 'n1'}`, groups: ['system:nodes'] };
  const [field, value] = (o.selector ?? '').split('=');
  const fieldSelector = field && value !== undefined ? [{ path: field, op: '=' as const, value }] : undefined;
  const base = { group, version: 'v1', resource, subresource, namespace, name, fieldSelector };
  const a: Attributes = { type: 'resource', user, verb, ...base };
  return authorizer.authorize(a);
}

const may = (...args: Parameters<typeof ask>): boolean => ask(...args).isAllowed;
const NO_RELATION = "no relationship found between node 'n1' and this object";

describe('NodeAuthorizer: what pods need', () => {
  test('secrets and config maps of its own pods, by name', async () => {
    await putPod('p', 'n1', {
      imagePullSecrets: [{ name: 'pull' }],
      initContainers: [{ envFrom: [{ secretRef: { name: 'from' } }, { configMapRef: { name: 'mapfrom' } }] }],
      containers: [
        {
          env: [
            { valueFrom: { secretKeyRef: { name: 'env' } } },
            { valueFrom: { configMapKeyRef: { name: 'mapenv' } } },
          ],
        },
      ],
      volumes: [
        { name: 'a', secret: { secretName: 'volume' } },
        { name: 'b', configMap: { name: 'mapvolume' } },
        {
          name: 'c',
          projected: { sources: [{ secret: { name: 'projected' } }, { configMap: { name: 'mapprojected' } }] },
        },
        { name: 'd', csi: { driver: 'x', nodePublishSecretRef: { name: 'csi' } } },
      ],
    });
    for (const name of ['pull', 'from', 'env', 'volume', 'projected', 'csi'])
      for (const verb of ['get', 'list', 'watch']) expect(may(verb, `secrets ${name}`), name).toBe(true);
    for (const name of ['mapfrom', 'mapenv', 'mapvolume', 'mapprojected'])
      expect(may('get', `configmaps ${name}`), name).toBe(true);
    expect(ask('get', 'secrets other').reason).toBe(NO_RELATION);
    expect(may('get', 'secrets pull', { node: 'n2' })).toBe(false);
    expect(ask('list', 'secrets').reason).toBe('No Object name found');
    expect(ask('update', 'secrets pull').reason).toBe('can only read resources of this type');
    expect(may('get', 'secrets mapenv')).toBe(false);
  });

  test('a mirror pod gives its node nothing', async () => {
    await putPod('m', 'n1', { imagePullSecrets: [{ name: 'pull' }] }, { 'kubernetes.io/config.mirror': 'x' });
    expect(may('get', 'secrets pull')).toBe(false);
    expect(may('get', 'pods m')).toBe(true);
  });

  test('claims, their volumes, and what the volumes need', async () => {
    await putPod('p', 'n1', {
      volumes: [
        { name: 'a', persistentVolumeClaim: { claimName: 'claim' } },
        { name: 'tmp', ephemeral: {} },
      ],
    });
    const claimRef = { namespace: 'ns', name: 'claim' };
    const csi = {
      driver: 'x',
      volumeHandle: 'h',
      nodeStageSecretRef: { namespace: 'ns', name: 'stage' },
      controllerPublishSecretRef: { namespace: 'ns', name: 'control' },
    };
    await put(Kinds.persistentvolumes, { metadata: { name: 'pv' }, spec: { claimRef, csi } });
    await put(Kinds.persistentvolumes, { metadata: { name: 'free' }, spec: {} });
    expect(may('get', 'persistentvolumeclaims claim')).toBe(true);
    expect(may('get', 'persistentvolumeclaims p-tmp')).toBe(true);
    expect(may('get', 'persistentvolumes pv')).toBe(true);
    expect(may('get', 'persistentvolumes free')).toBe(false);
    expect(may('get', 'secrets stage')).toBe(true);
    expect(may('get', 'secrets control')).toBe(false);
    expect(may('patch', 'persistentvolumeclaims/status claim')).toBe(true);
    expect(may('patch', 'persistentvolumeclaims/status claim', { node: 'n2' })).toBe(false);
    expect(ask('list', 'persistentvolumeclaims').reason).toBe('can only get individual resources of this type');
  });

  test('tokens of its pods’ service accounts, its resource claims, attachments and slices', async () => {
    await putPod('p', 'n1', { serviceAccountName: 'sa', resourceClaims: [{ name: 'c', resourceClaimName: 'gpu' }] });
    await put(Kinds.volumeattachments, { metadata: { name: 'va' }, spec: { nodeName: 'n1' } });
    await put(Kinds.resourceslices, { metadata: { name: 'slice' }, spec: { nodeName: 'n1' } });
    expect(may('create', 'serviceaccounts/token sa')).toBe(true);
    expect(may('create', 'serviceaccounts/token sa', { node: 'n2' })).toBe(false);
    expect(may('create', 'serviceaccounts/token other')).toBe(false);
    expect(may('get', 'serviceaccounts sa')).toBe(true);
    expect(may('get', 'resourceclaims@resource.k8s.io gpu')).toBe(true);
    for (const what of ['volumeattachments@storage.k8s.io va', 'resourceslices@resource.k8s.io slice']) {
      expect(may('get', what), what).toBe(true);
      expect(may('get', what, { node: 'n2' }), what).toBe(false);
    }
    expect(may('list', 'resourceslices@resource.k8s.io', { selector: 'spec.nodeName=n1' })).toBe(true);
    expect(may('list', 'resourceslices@resource.k8s.io')).toBe(false);
  });
});

describe('NodeAuthorizer: what is its own', () => {
  test('its pods: by name, or all by the field selector of its name', async () => {
    await putPod('own', 'n1', {});
    await putPod('other', 'n2', {});
    expect([may('get', 'pods own'), may('get', 'pods other')]).toEqual([true, false]);
    expect(may('list', 'pods', { selector: 'spec.nodeName=n1' })).toBe(true);
    expect(ask('list', 'pods', { selector: 'spec.nodeName=n2' }).reason).toBe(
      'can only list/watch pods with spec.nodeName field selector',
    );
    expect(may('watch', 'pods own')).toBe(true);
    expect([may('create', 'pods/eviction own'), may('create', 'pods/eviction other')]).toEqual([true, false]);
    expect(may('patch', 'pods/status own')).toBe(true);
    expect([may('update', 'pods own'), may('create', 'pods/exec own'), may('get', 'pods/log own')]).toEqual([
      false,
      false,
      false,
    ]);
  });

  test('its Node, lease and CSINode', () => {
    expect(may('get', 'nodes n1')).toBe(true);
    expect(ask('get', 'nodes n2').reason).toBe("node 'n1' cannot read 'n2', only its own Node object");
    expect(ask('list', 'nodes').reason).toBe("node 'n1' cannot read all nodes, only its own Node object");
    expect([may('create', 'nodes'), may('patch', 'nodes/status n1'), may('delete', 'nodes n1')]).toEqual([
      true,
      true,
      false,
    ]);
    for (const what of ['leases@coordination.k8s.io', 'csinodes@storage.k8s.io']) {
      expect(may('create', what), what).toBe(true);
      expect(may('update', `${what} n1`), what).toBe(true);
      expect(may('update', `${what} n2`), what).toBe(false);
      expect(may('list', what), what).toBe(false);
    }
  });

  test('for the rest the rules of system:node', () => {
    expect([may('list', 'services'), may('create', 'services')]).toEqual([true, false]);
    expect(may('create', 'events')).toBe(true);
    expect(may('create', 'certificatesigningrequests@certificates.k8s.io')).toBe(true);
    expect(may('get', 'deployments@apps x')).toBe(false);
  });

  test('others are not its business; a node without a name is refused', () => {
    const a = { type: 'path', verb: 'get', path: '/x' } as const;
    const names = (name: string, group: string): Decision =>
      authorizer.authorize({ ...a, user: { name, groups: [group] } });
    expect(names('ann', 'system:nodes')).toEqual({ isAllowed: false, reason: '' });
    expect(names('system:node:n1', 'dev')).toEqual({ isAllowed: false, reason: '' });
    expect(names('system:node:', 'system:nodes').reason).toBe('unknown node for user "system:node:"');
    const rules = authorizer.rulesFor({ name: 'system:node:n1', groups: ['system:nodes'] });
    expect(rules.isIncomplete).toBe(true);
  });
});
