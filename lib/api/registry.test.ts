import { describe, expect, test } from 'vitest';
import { Kinds } from './gen/kinds.ts';
import { allKinds, kindByGvk, kindByResource, kindInfo, schemaOf } from './registry.ts';
import { typeOf } from './type-table.ts';

describe('registry', () => {
  test('rows are complete and found both ways', () => {
    expect(allKinds().length).toBeGreaterThan(60);
    for (const k of allKinds()) {
      expect(kindByResource(k.group, k.version, k.resource)).toBe(k);
      expect(kindInfo(k)).toBe(k);
      expect(typeOf(k.schema).byName.has('metadata'), k.schema).toBe(true);
    }
    for (const ref of Object.values(Kinds)) expect(kindInfo(ref).namespaced).toBe(ref.namespaced);
  });

  test('the deployment row', () => {
    expect(kindByGvk('apps/v1', 'Deployment')).toMatchObject({
      group: 'apps',
      resource: 'deployments',
      singular: 'deployment',
      shortNames: ['deploy'],
      categories: ['all'],
      namespaced: true,
      schema: 'apps/v1.Deployment',
      hasStatus: true,
      hasGeneration: true,
      subresources: [
        { name: 'scale', kind: 'Scale', group: 'autoscaling', version: 'v1' },
        { name: 'status', kind: 'Deployment', group: 'apps', version: 'v1' },
      ],
    });
  });

  test('status and generation flags', () => {
    expect(kindInfo(Kinds.configmaps)).toMatchObject({ hasStatus: false, hasGeneration: false });
    expect(kindInfo(Kinds.nodes)).toMatchObject({ hasStatus: true, hasGeneration: false });
    expect(kindInfo(Kinds.pods)).toMatchObject({ hasStatus: true, hasGeneration: true });
    expect(kindInfo(Kinds.services)).toMatchObject({ hasStatus: true, hasGeneration: false });
  });

  test('schemaOf finds options in meta/v1, from any group version', () => {
    expect(schemaOf('v1', 'DeleteOptions')).toBe('meta/v1.DeleteOptions');
    expect(schemaOf('apps/v1', 'DeleteOptions')).toBe('meta/v1.DeleteOptions');
    expect(schemaOf('policy/v1', 'Eviction')).toBe('policy/v1.Eviction');
    expect(schemaOf('rbac.authorization.k8s.io/v1', 'RoleList')).toBe('rbac/v1.RoleList');
    expect(schemaOf('v1', 'Nope')).toBeUndefined();
  });
});

describe('type table', () => {
  test('a field has its patch and list markers', () => {
    expect(typeOf('core/v1.Container').byName.get('ports')).toMatchObject({
      patchStrategy: ['merge'],
      mergeKey: 'containerPort',
      listType: 'map',
      listMapKeys: ['containerPort', 'protocol'],
      proto: 6,
      type: { k: 'list', of: { k: 'struct', name: 'core/v1.ContainerPort' } },
    });
    expect(typeOf('core/v1.PodSpec').byName.get('volumes')?.patchStrategy).toEqual(['merge', 'retainKeys']);
    expect(typeOf('core/v1.ContainerPort').byName.get('protocol')?.default).toBe('TCP');
  });

  test('embedded structs are flattened for JSON and kept apart for protobuf', () => {
    const volume = typeOf('core/v1.Volume');
    expect(volume.byName.get('emptyDir')?.type).toMatchObject({ k: 'struct', name: 'core/v1.EmptyDirVolumeSource' });
    expect(volume.own.map((f) => f.name)).toEqual(['name']);
    expect(volume.inlined).toEqual([{ type: 'core/v1.VolumeSource', proto: 2 }]);
  });

  test('aliases are resolved', () => {
    expect(typeOf('core/v1.Container').byName.get('imagePullPolicy')?.type).toMatchObject({
      k: 'string',
      goName: 'v1.PullPolicy',
      enum: ['Always', 'IfNotPresent', 'Never'],
    });
    expect(typeOf('core/v1.ResourceRequirements').byName.get('limits')?.type).toMatchObject({
      k: 'map',
      of: { k: 'wellKnown', name: 'resource.Quantity' },
    });
  });
});
