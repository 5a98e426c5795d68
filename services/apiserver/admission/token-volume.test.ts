import { describe, expect, test } from 'vitest';
import { Kinds, type Pod, type PodSpec, type ServiceAccount } from '#lib/api';
import { testContext as c, startTestServer } from '../testing/server.ts';
import { mountToken, TOKEN_MOUNT_PATH, wantsToken } from './token-volume.ts';

const container = (name: string, mountPath?: string) => ({
  name,
  image: 'i',
  ...(mountPath === undefined ? {} : { volumeMounts: [{ name: 'own', mountPath }] }),
});
const MOUNT = { name: 'kube-api-access-abcde', readOnly: true, mountPath: TOKEN_MOUNT_PATH };
const account = (automount?: boolean): ServiceAccount => ({
  apiVersion: 'v1',
  kind: 'ServiceAccount',
  metadata: { name: 'a' },
  ...(automount === undefined ? {} : { automountServiceAccountToken: automount }),
});

describe("a pod's token volume (plugin/pkg/admission/serviceaccount)", () => {
  test.each([
    [undefined, undefined, true],
    [undefined, false, false],
    [true, false, true],
    [false, true, false],
  ])('pod %s, account %s: %s', (pod, ofAccount, wanted) => {
    const spec = { containers: [], ...(pod === undefined ? {} : { automountServiceAccountToken: pod }) };
    expect(wantsToken(spec, account(ofAccount))).toBe(wanted);
  });

  test('every container gets it, init containers too, but for those that have something at its path', () => {
    const spec: PodSpec = {
      initContainers: [container('init', '/data')],
      containers: [container('a'), container('b', TOKEN_MOUNT_PATH)],
    };
    mountToken(spec, 'abcde');
    expect(spec.initContainers?.[0]?.volumeMounts).toEqual([{ name: 'own', mountPath: '/data' }, MOUNT]);
    expect(spec.containers.map((x) => x.volumeMounts)).toEqual([
      [MOUNT],
      [{ name: 'own', mountPath: TOKEN_MOUNT_PATH }],
    ]);
    expect(spec.volumes).toHaveLength(1);
    const before = structuredClone(spec);
    mountToken(spec, 'other');
    expect(spec).toEqual(before);
  });

  test('no volume where no container takes it; one that is there already is used', () => {
    const full: PodSpec = { containers: [container('b', TOKEN_MOUNT_PATH)] };
    mountToken(full, 'abcde');
    expect(full.volumes).toBeUndefined();
    const given: PodSpec = { containers: [container('a')], volumes: [{ name: 'kube-api-access-mine' }] };
    mountToken(given, 'abcde');
    expect(given.volumes).toEqual([{ name: 'kube-api-access-mine' }]);
    expect(given.containers[0]?.volumeMounts?.[0]?.name).toBe('kube-api-access-mine');
  });

  test('a created pod has it, valid and whole; a server whose nodes get no tokens leaves pods without', async () => {
    await using mounting = await startTestServer({ config: { mountsServiceAccountTokens: true } });
    await using plain = await startTestServer();
    const pod = { metadata: { name: 'p', namespace: 'default' }, spec: { containers: [container('a')] } };
    const made = await mounting.client.create<Pod>(Kinds.pods, structuredClone(pod), c);
    const volume = made.spec?.volumes?.[0];
    expect(volume?.name).toMatch(/^kube-api-access-[a-z0-9]{5}$/);
    expect(volume?.projected).toEqual({
      defaultMode: 420,
      sources: [
        { serviceAccountToken: { expirationSeconds: 3607, path: 'token' } },
        { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
        {
          downwardAPI: {
            items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }],
          },
        },
      ],
    });
    expect(made.spec?.containers[0]?.volumeMounts).toEqual([{ ...MOUNT, name: volume?.name }]);
    const silent = {
      ...pod,
      spec: { ...pod.spec, automountServiceAccountToken: false },
      metadata: { ...pod.metadata, name: 'q' },
    };
    expect((await mounting.client.create<Pod>(Kinds.pods, silent, c)).spec?.volumes ?? []).toEqual([]);
    expect((await plain.client.create<Pod>(Kinds.pods, pod, c)).spec?.volumes ?? []).toEqual([]);
  });
});
