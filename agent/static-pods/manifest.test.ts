/** Manifests of static pods: what a file becomes, and what is said of one that is wrong. */
import { describe, expect, test } from 'vitest';
import { parseManifest } from './manifest.ts';

const o = { path: '/m/web.yaml', nodeName: 'node-1', nowMs: 0 };
const POD = `
apiVersion: v1
kind: Pod
metadata: { name: web, labels: { app: web }, annotations: { a: b, kubernetes.io/config.mirror: x } }
spec: { containers: [{ name: main, image: busybox }] }
`;
const pod = async (text: string, more = {}) => (await parseManifest(text, { ...o, ...more })).pod;
const withSpec = (spec: string): string => `{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: ${spec}}`;

describe('a manifest', () => {
  test('becomes the pod of this node: name, namespace, annotations, toleration, defaults', async () => {
    const p = await pod(POD);
    const uid = p.metadata.uid ?? '';
    expect(uid).toMatch(/^[0-9a-f]{32}$/);
    expect(p.metadata).toMatchObject({
      name: 'web-node-1',
      namespace: 'default',
      labels: { app: 'web' },
      annotations: {
        a: 'b',
        'kubernetes.io/config.hash': uid,
        'kubernetes.io/config.source': 'file',
        'kubernetes.io/config.seen': '1970-01-01T00:00:00Z',
      },
    });
    expect(p.metadata.annotations).not.toHaveProperty('kubernetes.io/config.mirror');
    expect(p.spec).toMatchObject({
      nodeName: 'node-1',
      restartPolicy: 'Always',
      dnsPolicy: 'ClusterFirst',
      terminationGracePeriodSeconds: 30,
      containers: [{ imagePullPolicy: 'Always', terminationMessagePath: '/dev/termination-log' }],
      tolerations: [{ operator: 'Exists', effect: 'NoExecute' }],
    });
    expect(p.status?.phase).toBe('Pending');
  });

  test('JSON too; a uid of its own; unknown fields are told and left out', async () => {
    const json = JSON.stringify({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'j', namespace: 'kube-system', uid: 'own-1' },
      spec: { containers: [{ name: 'c', image: 'i', imagee: 'x' }], hostNetwork: true },
    });
    const { pod: p, unknown } = await parseManifest(json, o);
    expect([p.metadata.uid, p.metadata.namespace]).toEqual(['own-1', 'kube-system']);
    expect(unknown).toEqual(['unknown field "spec.containers[0].imagee"']);
    expect(p.spec.containers[0]).not.toHaveProperty('imagee');
  });

  test('another text, file or node is another pod; the same is the same, whenever it is read', async () => {
    const uid = async (text: string, more = {}) => (await pod(text, more)).metadata.uid;
    const first = await uid(POD);
    expect(await uid(`# a comment\n${POD}`, { nowMs: 5_000 })).toBe(first);
    expect(await uid(POD.replace('busybox', 'busybox:2'))).not.toBe(first);
    expect(await uid(POD, { path: '/m/other.yaml' })).not.toBe(first);
    expect(await uid(POD, { nodeName: 'node-2' })).not.toBe(first);
  });

  test.each([
    ['', /couldn't parse as pod\(it is no object\)/],
    ['a: [', /couldn't parse as pod\(.*line 1/s],
    ['{apiVersion: v1, kind: Pod}\n---\n{}', /several documents/],
    ['{kind: Pod}', /Object 'apiVersion' is missing/],
    ['{apiVersion: v1, kind: Service}', /couldn't parse as pod\(Service in version "v1"/],
    ['{apiVersion: apps/v1, kind: Pod}', /apps\/v1/],
    ['{apiVersion: v1, kind: Pod, spec: {containers: []}}', /^invalid pod: name is needed for the pod$/],
    ['{apiVersion: v1, kind: Pod, metadata: {name: a}}', /spec/],
    [
      '{apiVersion: v1, kind: Pod, metadata: {name: A_b}, spec: {containers: [{name: c, image: i}]}}',
      /metadata\.name: Invalid value: "A_b-node-1"/,
    ],
    [
      '{apiVersion: v1, kind: Pod, metadata: {name: a, uid: ../../etc}, spec: {containers: []}}',
      /metadata\.uid: Invalid value/,
    ],
    [withSpec('{containers: []}'), /^invalid pod: spec\.containers: Required value$/],
    [
      withSpec('{containers: [{name: c, image: i, ports: [{containerPort: 99999}]}]}'),
      /spec\.containers\[0\]\.ports\[0\]\.containerPort: Invalid value: 99999/,
    ],
    [withSpec('{containers: 3}'), /containers/],
    [
      'a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c,*c,*c,*c]',
      /alias|missing/i,
    ],
  ])('%.60s is refused with the field', async (text, message) => {
    await expect(parseManifest(text, o)).rejects.toMatchObject({
      kind: 'Invalid',
      message: expect.stringMatching(message),
    });
  });

  test('what nests without an end is refused', async () => {
    const text = withSpec(`${'['.repeat(5_000)}${']'.repeat(5_000)}`);
    await expect(parseManifest(text, o)).rejects.toMatchObject({ kind: 'Invalid' });
  });

  const main = '{name: c, image: i}';
  test.each([
    [`{serviceAccountName: robot, containers: [${main}]}`, 'serviceaccounts'],
    [`{imagePullSecrets: [{name: s}], containers: [${main}]}`, 'secrets'],
    ['{containers: [{name: c, image: i, envFrom: [{secretRef: {name: s}}]}]}', 'secrets'],
    [
      '{containers: [{name: c, image: i, env: [{name: A, valueFrom: {configMapKeyRef: {name: s, key: k}}}]}]}',
      'configmaps',
    ],
    [
      `{initContainers: [{name: x, image: i, envFrom: [{configMapRef: {name: s}}]}], containers: [${main}]}`,
      'configmaps',
    ],
    [`{volumes: [{name: v, secret: {secretName: s}}], containers: [${main}]}`, 'secrets (via secret volumes)'],
    [`{volumes: [{name: v, configMap: {name: s}}], containers: [${main}]}`, 'configmaps (via configmap volumes)'],
    [`{volumes: [{name: v, persistentVolumeClaim: {claimName: s}}], containers: [${main}]}`, 'persistentvolumeclaims'],
    [
      `{volumes: [{name: v, projected: {sources: [{serviceAccountToken: {path: t}}]}}], containers: [${main}]}`,
      'serviceaccounts (via projected volumes)',
    ],
  ])('%s refers to the API', async (spec, what) => {
    await expect(parseManifest(withSpec(spec), o)).rejects.toThrow(`static pods may not reference ${what}`);
  });
});
