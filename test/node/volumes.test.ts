/**
 * Volumes as the programs of pods see them: modes, owners and contents of their files, and what of a ConfigMap, a Secret or the
 * pod's own metadata changes while they run. Paths of the host: test/node/host-paths.test.ts.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';
import { IDLES, NodePods, NS } from './node-pods.ts';

const BINARY = Buffer.from([0, 0xff, 0x0a, 0x80]);
/** Reads two keys of one state of a volume, over and over, and says when they were never together. */
const WATCHES = `while true; do
  d=$(busybox readlink /m/..data); a=$(cat /m/$d/a 2>/dev/null); b=$(cat /m/$d/b 2>/dev/null)
  if [ -n "$a" ] && [ -n "$b" ] && [ "$a" != "$b" ]; then echo "torn: $a $b"; fi
  busybox usleep 2000
done`;

const volume = (name: string, source: object): object => ({ name, ...source });
const mount = (name: string, mountPath: string, more: object = {}): object => ({ name, mountPath, ...more });
const field = (path: string, fieldPath: string): object => ({ path, fieldRef: { fieldPath } });
const amount = (path: string, resource: string, more: object = {}): object => ({
  path,
  resourceFieldRef: { containerName: 'main', resource, ...more },
});

describe('volumes as programs see them (root)', () => {
  let t: NodePods;
  tellWhenFailed(() => t?.cluster);

  const object = (kind: string, name: string, more: object): object => ({
    apiVersion: 'v1',
    kind,
    metadata: { name, namespace: NS },
    ...more,
  });
  /** A pod of these volumes, each at /NAME, and its script. */
  const withVolumes = (name: string, script: string, volumes: Record<string, object>, spec: object = {}) =>
    t.pod(
      name,
      script,
      { volumeMounts: Object.keys(volumes).map((v) => mount(v, `/${v}`)) },
      { volumes: Object.entries(volumes).map(([v, source]) => volume(v, source)), ...spec },
    );
  const pair = (value: string): object => object('ConfigMap', 'pair', { data: { a: value, b: value, [value]: 'x' } });
  /** Two mounts of one volume: its whole, and the part that the expression names. */
  const byExpression = (name: string, value: object, script: string): object =>
    t.pod(
      name,
      script,
      {
        env: [{ name: 'PART', ...value }],
        volumeMounts: [mount('v', '/whole'), mount('v', '/part', { subPathExpr: 'of/$(PART)' })],
      },
      { volumes: [volume('v', { emptyDir: {} })] },
    );

  beforeAll(async () => {
    t = await NodePods.open('vol');
    const stat = (...paths: string[]): string => `busybox stat -L -c '%a %u %g' ${paths.join(' ')}`;
    const late = byExpression(
      'late-part',
      { valueFrom: { fieldRef: { fieldPath: "metadata.annotations['part']" } } },
      'ls /whole/of',
    );
    const metadata = { name: 'told', namespace: NS, labels: { app: 'one' }, annotations: { note: 'a "b"\n\\c' } };
    const told = withVolumes('told', IDLES, {
      info: {
        downwardAPI: {
          items: [
            field('labels', 'metadata.labels'),
            field('deep/annotations', 'metadata.annotations'),
            field('name', 'metadata.name'),
            { ...field('uid', 'metadata.uid'), mode: 0o400 },
            amount('cpu', 'limits.cpu', { divisor: '1m' }),
            amount('memory', 'requests.memory', { divisor: '1Ki' }),
            amount('rest', 'limits.memory', { divisor: '1Mi' }),
          ],
        },
      },
    });
    const [main] = (told['spec'] as { containers: object[] }).containers;
    Object.assign(main ?? {}, { resources: { requests: { memory: '32Mi' }, limits: { cpu: '250m' } } });
    await t.apply(
      pair('one'),
      object('ConfigMap', 'cfg', {
        data: { 'a.txt': 'A', 'b.txt': 'B' },
        binaryData: { bin: BINARY.toString('base64') },
      }),
      object('Secret', 'sec', { stringData: { password: 'pw', user: 'u' } }),
      withVolumes(
        'modes',
        `${stat('/disk', '/memory', '/huge')}; for m in /disk /memory; do busybox grep " $m " /proc/mounts | busybox cut -d' ' -f3; done; busybox df -k /memory | busybox tail -1 | busybox awk '{print $2}'`,
        {
          disk: { emptyDir: {} },
          memory: { emptyDir: { medium: 'Memory', sizeLimit: '3Mi' } },
          huge: { emptyDir: {} },
        },
      ),
      withVolumes(
        'owned',
        `id; ${stat('/disk', '/memory')}; echo x >/disk/new && ${stat('/disk/new')}`,
        {
          disk: { emptyDir: {} },
          memory: { emptyDir: { medium: 'Memory' } },
        },
        { securityContext: { runAsUser: 1000, fsGroup: 5000 } },
      ),
      withVolumes(
        'files',
        `cd /some; ls; cat in/c; ${stat('in/c', 'plain')}; cd /all; ls; busybox xxd -p bin; ${stat('a.txt')}; cat /secret/password; ${stat('/secret/password')}; echo x 2>/dev/null >/all/a.txt || echo read-only`,
        {
          some: {
            configMap: {
              name: 'cfg',
              defaultMode: 0o640,
              items: [
                { key: 'a.txt', path: 'in/c', mode: 0o444 },
                { key: 'b.txt', path: 'plain' },
              ],
            },
          },
          all: { configMap: { name: 'cfg' } },
          secret: { secret: { secretName: 'sec', defaultMode: 0o400 } },
        },
        { securityContext: { runAsUser: 1000, fsGroup: 5000 } },
      ),
      withVolumes('joined', `cd /all; busybox find . -type l | busybox sort; cat pw labels; ${stat('pw')}`, {
        all: {
          projected: {
            defaultMode: 0o400,
            sources: [
              { secret: { name: 'sec', items: [{ key: 'password', path: 'pw' }] } },
              { configMap: { name: 'cfg', items: [{ key: 'a.txt', path: 'deep/er/a' }] } },
              { downwardAPI: { items: [field('labels', 'metadata.labels')] } },
              { serviceAccountToken: { path: 'token', audience: 'vault', expirationSeconds: 600 } },
              { configMap: { name: 'nothing', optional: true } },
            ],
          },
        },
      }),
      { ...told, metadata },
      withVolumes('watches', WATCHES, { m: { configMap: { name: 'pair' } } }),
      withVolumes('hopes', IDLES, {
        map: { configMap: { name: 'maybe', optional: true } },
        secret: { secret: { secretName: 'maybe', optional: true } },
        key: { configMap: { name: 'cfg', optional: true, items: [{ key: 'none', path: 'none' }] } },
      }),
      withVolumes('needs', 'cat /map/k', { map: { configMap: { name: 'later' } } }),
      withVolumes('needs-key', 'true', { map: { configMap: { name: 'cfg', items: [{ key: 'none', path: 'none' }] } } }),
      byExpression('part', { value: 'a-part' }, 'echo x >/part/file; busybox find /whole | busybox sort'),
      byExpression('absolute-part', { value: '/tmp' }, 'busybox find /whole | busybox sort'),
      byExpression('upward-part', { value: '../..' }, 'true'),
      byExpression('empty-part', { value: '' }, 'true'),
      t.pod(
        'absolute',
        'true',
        {
          env: [{ name: 'PART', value: '/tmp' }],
          volumeMounts: [mount('v', '/v', { subPathExpr: '$(PART)' })],
        },
        { volumes: [volume('v', { emptyDir: {} })] },
      ),
      late,
    );
  });
  afterAll(() => t?.cluster.stop());

  const shows = (pod: string, path: string, text: string | RegExp) =>
    eventually(`${path} of ${pod} shows ${text}`, 20_000, async () => {
      const seen = await t.exec(pod, `cat ${path}`);
      return typeof text === 'string' ? seen === text : text.test(seen);
    });

  test('emptyDir: open to all, of the group of the pod where it has one, in memory a tmpfs of its size', async () => {
    const [disk, memory, huge, onDisk, inMemory, size] = (await t.said('modes')).split('\n');
    expect([disk, memory, huge]).toEqual(['777 0 0', '777 0 0', '777 0 0']);
    expect([onDisk === 'tmpfs', inMemory, size]).toEqual([false, 'tmpfs', '3072']);
    const [who, ...owners] = (await t.said('owned')).split('\n');
    expect(who).toMatch(/ groups=.*\b5000$/);
    expect(owners).toEqual(['2777 0 5000', '2777 0 5000', '644 1000 5000']);
  });

  test('configMap and secret: items, modes, bytes; a group of the pod reads them, nobody writes them', async () => {
    expect((await t.said('files')).split('\n')).toEqual([
      'in',
      'plain',
      'A444 0 5000',
      '640 0 5000',
      'a.txt',
      'b.txt',
      'bin',
      BINARY.toString('hex'),
      '644 0 5000',
      'pw440 0 5000',
      'read-only',
    ]);
  });

  test('projected: files of all sources below one folder', async () => {
    expect((await t.said('joined')).split('\n')).toEqual([
      './..data',
      './deep',
      './labels',
      './pw',
      './token',
      'pw400 0 0',
    ]);
  });

  test('downwardAPI: the pod’s own fields and amounts, those without a limit from the node; labels change while it runs', async () => {
    await t.ready('told');
    const { uid } = (await t.read('told')).metadata;
    const annotations = await t.exec('told', 'cat /info/deep/annotations');
    expect(annotations.split('\n')).toContain('note="a \\"b\\"\\n\\\\c"');
    const files = 'cd /info; for f in labels name uid cpu memory; do cat $f; echo; done; busybox stat -L -c %a uid';
    expect((await t.exec('told', files)).split('\n')).toEqual(['app="one"', 'told', uid, '250', '32768', '400', '']);
    const allocatable = (await t.nodeObject).status?.allocatable?.['memory'] ?? '';
    const mebibytes = { Ki: 1 / 1024, Mi: 1, Gi: 1024 }[allocatable.slice(-2)] ?? 2 ** -20;
    expect(await t.exec('told', 'cat /info/rest')).toBe(
      String(Math.ceil(Number.parseInt(allocatable, 10) * mebibytes)),
    );
    await t.cluster.kubectl('label', 'pod', 'told', 'app=two', 'more=yes', '--overwrite');
    await t.cluster.kubectl('annotate', 'pod', 'told', 'note-');
    await shows('told', '/info/labels', 'app="two"\nmore="yes"');
    await shows('told', '/info/deep/annotations', /^(?!.*note=)/s);
  });

  test('a ConfigMap that changes is seen by a running program, whole each time; a key that goes is gone', async () => {
    await t.ready('watches');
    const first = await t.exec('watches', 'busybox readlink /m/..data');
    for (const value of ['two', 'three', 'four']) {
      await t.apply(pair(value));
      await shows('watches', '/m/a', value);
      expect(await t.exec('watches', 'cat /m/b; ls /m')).toBe(`${value}a\nb\n${value}\n`);
    }
    expect(await t.exec('watches', 'busybox readlink /m/..data')).not.toBe(first);
    expect(await t.exec('watches', 'ls -A /m | busybox grep -c "^\\.\\.[0-9]"')).toBe('1\n');
    expect(await t.logs('watches')).toBe('');
  });

  test('an optional source that is missing is an empty folder, until it comes, and again when it is gone', async () => {
    await t.ready('hopes');
    expect(await t.exec('hopes', 'ls /map /secret /key')).toBe('/key:\n\n/map:\n\n/secret:\n');
    await t.apply(
      object('ConfigMap', 'maybe', { data: { k: 'came' } }),
      object('Secret', 'maybe', { stringData: { k: 'came too' } }),
    );
    await shows('hopes', '/map/k', 'came');
    await shows('hopes', '/secret/k', 'came too');
    await t.cluster.kubectl('delete', 'configmap/maybe', 'secret/maybe');
    await shows('hopes', '/map/k /secret/k', /'\/map\/k': No such file[\s\S]*'\/secret\/k': No such file/);
  });

  test('one that is needed keeps its pod waiting with words, and starts it when it comes', async () => {
    const why = async (name: string) => (await t.event(name, /^FailedMount /)).replace('FailedMount ', '');
    const failed = 'MountVolume.SetUp failed for volume "map" : ';
    expect(await why('needs')).toBe(`${failed}configmap "later" not found`);
    expect(await why('needs-key')).toBe(`${failed}configmap references non-existent config key: none`);
    expect((await t.waiting('needs', /./)).reason).toBe('ContainerCreating');
    await t.apply(object('ConfigMap', 'later', { data: { k: 'here' } }));
    expect(await t.said('needs')).toBe('here');
  });

  test('subPathExpr: by variables; absolute, upward and empty ones are refused with words; one that is mended starts', async () => {
    expect(await t.said('part')).toBe('/whole\n/whole/of\n/whole/of/a-part\n/whole/of/a-part/file');
    /* Not at its head: as in Kubernetes it lies in the volume. */
    expect(await t.said('absolute-part')).toBe('/whole\n/whole/of\n/whole/of/tmp');
    const words = async (name: string) => (await t.waiting(name, /^CreateContainerConfigError$/)).message;
    expect(await words('absolute')).toBe('error SubPath `/tmp` must not be an absolute path');
    expect(await words('upward-part')).toBe("unable to provision SubPath `of/../..`: must not contain '..'");
    expect(await words('empty-part')).toBe('missing value for PART');
    expect(await words('late-part')).toBe('missing value for PART');
    await t.cluster.kubectl('annotate', 'pod', 'late-part', 'part=mended');
    expect(await t.said('late-part')).toBe('mended');
  });
});
