/**
 * What a program in a pod is given, as the program itself sees it: variables of every kind, command and arguments, working
 * folder, files of the downward API, its host name, names of others, and the namespaces of the host where it asks for them.
 */
import { readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Kinds, parseQuantity, quantityToNumber } from '#lib/api';
import { realRandom } from '#lib/base';
import { DistributionClient, packImage, parseReference, pushPacked } from '#lib/oci';
import { orGone, pushHello } from '../e2e/workload.ts';
import { keepAway } from '../faults/host.ts';
import { eventually, startCluster, type TestCluster } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';
import { freePort } from '../harness/process.ts';
import { containerStatus, NS, OBEYS, PodReader } from './pod-reader.ts';

const DOMAIN = 'cluster.local';
const NAMESPACES = 'for n in pid ipc net uts; do busybox readlink /proc/self/ns/$n; done';
const RESOURCES = { requests: { cpu: '250m', memory: '32Mi' }, limits: { cpu: '1250m', memory: '64Mi' } };
/** Volumes of one ConfigMap, made at the same time. */
const MANY = Array.from({ length: 50 }, (_, i) => i);
const SHARED = `berth-node-env-${process.pid}`;

/** Objects that pods refer to, made before them. */
const OBJECTS = [
  { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'other' } },
  config('settings', { COLOR: 'blue', SIZE: 'big', hosts: '192.0.2.9 mine\n' }, { binaryData: { bytes: '/wCA' } }),
  config('changing', { state: 'one' }),
  secret('keys', { TOKEN: 's3cret', COLOR: 'red' }),
  secret('keys', { TOKEN: 'of another' }, 'other'),
  service('db-main', NS, {
    ports: [
      { name: 'sql-x', port: 5432 },
      { name: 'dns', port: 53, protocol: 'UDP' },
    ],
  }),
  service('far', 'other', { ports: [{ port: 80 }] }),
  service('sub', NS, { clusterIP: 'None', selector: { part: 'named' } }),
];

function config(name: string, data: object, more: object = {}): object {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data, ...more };
}
function secret(name: string, stringData: object, namespace = NS): object {
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace }, stringData };
}
function service(name: string, namespace: string, spec: object): object {
  return { apiVersion: 'v1', kind: 'Service', metadata: { name, namespace }, spec };
}
function field(name: string, fieldPath: string): object {
  return { name, valueFrom: { fieldRef: { fieldPath } } };
}
function amount(name: string, resource: string, divisor?: string): object {
  return { name, valueFrom: { resourceFieldRef: { resource, ...(divisor === undefined ? {} : { divisor }) } } };
}
function key(name: string, kind: 'configMapKeyRef' | 'secretKeyRef', ref: object): object {
  return { name, valueFrom: { [kind]: ref } };
}

describe('what a program in a pod is given (root)', () => {
  let cluster: TestCluster;
  tellWhenFailed(() => cluster);
  let pods: PodReader;
  let port: number;
  let allocatable: Readonly<Record<string, string>>;

  const quantity = (name: string): number => quantityToNumber(parseQuantity(allocatable[name] ?? ''));
  /** Lines of a pod that has ended, or of one that runs on once it has written `ready`. */
  const said = async (name: string): Promise<string[]> => {
    await pods.until(name, 'ran', (p) => p.status?.phase !== 'Pending');
    return eventually(`${name} has said all`, 20_000, async () => {
      const lines = await pods.lines(name);
      return lines.includes('said all') ? lines.slice(0, lines.indexOf('said all')) : undefined;
    });
  };
  const once = (name: string, script: string, container: object = {}, spec: object = {}, metadata: object = {}) =>
    pods.pod(
      name,
      [pods.sh('main', `${script}; echo said all`, container)],
      { restartPolicy: 'Never', ...spec },
      metadata,
    );

  /** Its entrypoint and command are seen in what it writes. */
  async function pushEchoes(image: string): Promise<string> {
    const { host, repository } = parseReference(image);
    const echoes = await packImage({
      entries: [
        { type: 'file', path: 'bin/busybox', data: readFileSync('/bin/busybox'), mode: 0o755 },
        { type: 'symlink', path: 'bin/sh', target: 'busybox' },
        { type: 'folder', path: 'www' },
      ],
      config: {
        entrypoint: ['sh', '-c', 'echo "$0 $@ in $(pwd) from $FROM"; echo said all', 'entry'],
        cmd: ['cmd', 'two'],
        env: ['PATH=/bin', 'FROM=image'],
        workingDir: '/www',
      },
    });
    await using client = new DistributionClient({ random: realRandom });
    await pushPacked(client.repository(host, repository), 'echoes', echoes, cluster.ctx);
    return `${host}/${repository}:echoes`;
  }

  function variablePods(): unknown[] {
    const env = [
      { name: 'A', value: 'one' },
      { name: 'B', value: '$(A)-two' },
      { name: 'ESCAPED', value: '$$(A)' },
      { name: 'UNKNOWN', value: '$(NONE)' },
      { name: 'SIZE', value: 'own-$(SIZE)' },
      key('FROM_MAP', 'configMapKeyRef', { name: 'settings', key: 'COLOR' }),
      key('FROM_SECRET', 'secretKeyRef', { name: 'keys', key: 'TOKEN' }),
      key('NO_MAP', 'configMapKeyRef', { name: 'absent', key: 'COLOR', optional: true }),
      key('NO_KEY', 'secretKeyRef', { name: 'keys', key: 'absent', optional: true }),
    ];
    const envFrom = [
      { configMapRef: { name: 'settings' } },
      { secretRef: { name: 'keys' } },
      { prefix: 'M_', configMapRef: { name: 'settings' } },
      { prefix: 'S_', secretRef: { name: 'keys' } },
      { configMapRef: { name: 'absent', optional: true } },
    ];
    const fields = [
      field('NAME', 'metadata.name'),
      field('NAMESPACE', 'metadata.namespace'),
      field('UID', 'metadata.uid'),
      field('LABEL', "metadata.labels['part']"),
      field('NOTE', "metadata.annotations['note']"),
      field('NODE', 'spec.nodeName'),
      field('ACCOUNT', 'spec.serviceAccountName'),
      field('POD_IP', 'status.podIP'),
      field('POD_IPS', 'status.podIPs'),
      field('HOST_IP', 'status.hostIP'),
      field('HOST_IPS', 'status.hostIPs'),
    ];
    const amounts = [
      amount('CPU_LIMIT', 'limits.cpu'),
      amount('CPU_REQUEST', 'requests.cpu', '1m'),
      amount('MEMORY_LIMIT', 'limits.memory', '1Mi'),
      amount('MEMORY_REQUEST', 'requests.memory'),
    ];
    const label = { labels: { part: 'fields' }, annotations: { note: 'a b' } };
    const script = 'env; echo "zero <$0>"; for a in "$@"; do echo "arg <$a>"; done; echo said all';
    return [
      pods.pod(
        'variables',
        [
          pods.sh('main', '', {
            command: ['sh', '-c', script, '$(B)'],
            args: ['$(A)', '$$(A)', '$(NONE)', '$(COLOR)'],
            env,
            envFrom,
          }),
        ],
        { restartPolicy: 'Never' },
      ),
      once('fields', 'env', { env: [...fields, ...amounts], resources: RESOURCES }, {}, label),
      once('unlimited', 'env', {
        env: [amount('CPU_LIMIT', 'limits.cpu', '1m'), amount('MEMORY_LIMIT', 'limits.memory')],
      }),
      once('linked', 'env'),
      once('unlinked', 'env', {}, { enableServiceLinks: false }),
      once('late', 'env', { env: [key('LATE', 'configMapKeyRef', { name: 'late', key: 'K' })] }),
      once('nokey', 'env', { env: [key('NOKEY', 'secretKeyRef', { name: 'keys', key: 'absent' })] }),
    ];
  }

  function commandPods(image: string): unknown[] {
    const say = 'echo "$0 $@ in $(busybox pwd) from $FROM"; echo said all';
    const of = (name: string, container: object) =>
      pods.pod(name, [{ name: 'main', image, ...container }], { restartPolicy: 'Never' });
    return [
      of('image', {}),
      of('args', { args: ['arg'] }),
      of('command', { command: ['sh', '-c', say, 'own'], env: [{ name: 'FROM', value: 'pod' }] }),
      of('both', { command: ['sh', '-c', say, 'own'], args: ['arg'] }),
      of('folder', { workingDir: '/made/here' }),
    ];
  }

  function downwardPod(): unknown {
    const amountFile = (path: string, resource: string, divisor: string) => ({
      path,
      resourceFieldRef: { containerName: 'main', resource, divisor },
    });
    const items = [
      { path: 'name', fieldRef: { fieldPath: 'metadata.name' }, mode: 0o400 },
      { path: 'meta/labels', fieldRef: { fieldPath: 'metadata.labels' } },
      { path: 'meta/annotations', fieldRef: { fieldPath: 'metadata.annotations' } },
      amountFile('cpu_limit', 'limits.cpu', '1m'),
      amountFile('cpu_request', 'requests.cpu', '1m'),
      amountFile('memory_limit', 'limits.memory', '1'),
      amountFile('memory_request', 'requests.memory', '1Mi'),
      { path: 'free_cpu', resourceFieldRef: { containerName: 'free', resource: 'limits.cpu', divisor: '1m' } },
      { path: 'free_memory', resourceFieldRef: { containerName: 'free', resource: 'limits.memory', divisor: '1' } },
    ];
    const sources = [
      { downwardAPI: { items } },
      { configMap: { name: 'changing' } },
      { secret: { name: 'hoped-for', optional: true } },
    ];
    const mounts = [
      { name: 'down', mountPath: '/down' },
      { name: 'projected', mountPath: '/projected' },
    ];
    return pods.pod(
      'downward',
      [pods.sh('main', OBEYS, { resources: RESOURCES, volumeMounts: mounts }), pods.sh('free', OBEYS)],
      {
        volumes: [
          { name: 'down', downwardAPI: { defaultMode: 0o440, items } },
          { name: 'projected', projected: { defaultMode: 0o440, sources } },
        ],
      },
      { labels: { part: 'downward' }, annotations: { note: 'one' } },
    );
  }

  /** Files of every kind of source, seen by root and by another user, whole and by subPath. */
  function filesPod(): unknown {
    const items = (key: string) => [{ key, path: 'deep/renamed', mode: 0o440 }];
    const volumes: Record<string, object> = {
      disk: { emptyDir: {} },
      memory: { emptyDir: { medium: 'Memory' } },
      map: { configMap: { name: 'settings', defaultMode: 0o444 } },
      ...Object.fromEntries(MANY.map((i) => [`many${i}`, { configMap: { name: 'settings' } }])),
      again: { configMap: { name: 'settings', items: items('SIZE') } },
      secret: { secret: { secretName: 'keys' } },
      same: { secret: { secretName: 'keys', items: items('TOKEN') } },
      joined: {
        projected: {
          defaultMode: 0o444,
          sources: [
            { configMap: { name: 'settings', items: items('COLOR') } },
            { secret: { name: 'keys' } },
            { downwardAPI: { items: [{ path: 'name', fieldRef: { fieldPath: 'metadata.name' } }] } },
          ],
        },
      },
    };
    const parts = { map: 'SIZE', secret: 'TOKEN', joined: 'name' };
    const volumeMounts = [
      ...Object.keys(volumes).map((name) => ({ name, mountPath: `/${name}` })),
      ...Object.entries(parts).map(([name, subPath]) => ({ name, mountPath: `/part/${name}`, subPath })),
      { name: 'map', mountPath: '/bin/serve', subPath: 'COLOR' },
    ];
    const files = ['map/COLOR', 'again/deep/renamed', 'secret/TOKEN', 'same/deep/renamed'];
    const joined = ['joined/deep/renamed', 'joined/TOKEN', 'joined/name'];
    const whole = [...files, ...joined].map((f) => `/${f}`);
    const all = [...whole, ...Object.keys(parts).map((p) => `/part/${p}`), '/bin/serve'].join(' ');
    const script = `for f in ${all}; do echo "$(cat $f)"; done; busybox stat -Lc %a ${whole.join(' ')} /disk /memory; busybox xxd -p /map/bytes; ls -d /many*/COLOR | wc -l
      for d in disk memory; do for m in 644 666 777; do f=/$d/$(id -u)-$m; echo x > $f; busybox chmod $m $f; busybox stat -c '%a %u' $f; done; done`;
    return pods.pod(
      'files',
      [
        pods.sh('main', `${script}; until test -e /disk/1000-777; do sleep 0.1; done; echo said all`, { volumeMounts }),
        pods.sh('user', script, { volumeMounts, securityContext: { runAsUser: 1000 } }),
      ],
      {
        restartPolicy: 'Never',
        securityContext: { fsGroup: 1234 },
        volumes: Object.entries(volumes).map(([name, source]) => ({ name, ...source })),
      },
    );
  }

  function namedPods(): unknown[] {
    const tells = `hostname; echo "HOSTNAME=$HOSTNAME"; for f in hostname hosts resolv.conf; do echo "-- $f"; cat /etc/$f; done`;
    const looks = `${NAMESPACES}; ls /dev/shm; echo end; ls -d /proc/${process.pid}`;
    const label = { labels: { part: 'named' } };
    const named = { hostname: 'h', subdomain: 'sub' };
    const dnsConfig = {
      nameservers: ['192.0.2.53'],
      searches: ['ns1.svc', 'my.search'],
      options: [{ name: 'ndots', value: '2' }, { name: 'edns0' }],
    };
    const own = { volumeMounts: [{ name: 'own', mountPath: '/etc/hosts', subPath: 'hosts' }] };
    const file = { volumes: [{ name: 'own', configMap: { name: 'settings' } }] };
    const aliases = [{ ip: '192.0.2.7', hostnames: ['alias.example', 'alias'] }];
    return [
      pods.pod(
        'named',
        [pods.sh('main', `${tells}; echo said all; ${OBEYS}`)],
        { ...named, hostAliases: aliases, dnsConfig },
        label,
      ),
      once('whole', tells, {}, { ...named, hostname: 'whole', setHostnameAsFQDN: true }),
      once('overridden', tells, {}, { ...named, subdomain: undefined, hostnameOverride: 'over.example' }),
      once('nodns', tells, {}, { dnsPolicy: 'None', dnsConfig }),
      once('nodedns', tells, {}, { dnsPolicy: 'Default' }),
      once('ownfile', tells, own, file),
      once('resolves', `until nslookup h.sub.${NS}.svc.${DOMAIN}; do sleep 0.2; done`),
      pods.pod('onhost', [pods.sh('main', `${tells}; echo said all; busybox httpd -p ${port} -h /etc; ${OBEYS}`)], {
        hostNetwork: true,
        hostAliases: aliases,
      }),
      once('onhostdns', tells, {}, { hostNetwork: true, dnsPolicy: 'ClusterFirstWithHostNet' }),
      once('apart', looks),
      once('hostspid', looks, {}, { hostPID: true }),
      once('hostsipc', looks, {}, { hostIPC: true }),
    ];
  }

  beforeAll(async () => {
    writeFileSync(`/dev/shm/${SHARED}`, '');
    port = await freePort();
    cluster = await startCluster({ name: 'penv' });
    const image = await pushHello(cluster);
    pods = new PodReader(cluster, image);
    await pods.apply(...OBJECTS);
    const echoes = await pushEchoes(image);
    await pods.apply(...variablePods(), ...commandPods(echoes), downwardPod(), filesPod(), ...namedPods());
    const name = cluster.layout.nodes[0]?.name ?? '';
    allocatable =
      (await cluster.client.get(Kinds.nodes, { namespace: '', name }, cluster.ctx)).status?.allocatable ?? {};
  });
  afterAll(async () => {
    await cluster?.stop();
    rmSync(`/dev/shm/${SHARED}`, { force: true });
  });

  test('env and envFrom: later ones win, references are filled in, what is optional may be missing', async () => {
    const lines = await said('variables');
    const env = ['A=one', 'B=one-two', 'ESCAPED=$(A)', 'UNKNOWN=$(NONE)', 'SIZE=own-big', 'COLOR=red', 'TOKEN=s3cret'];
    const prefixed = ['M_COLOR=blue', 'M_SIZE=big', 'S_COLOR=red', 'S_TOKEN=s3cret'];
    const keys = ['FROM_MAP=blue', 'FROM_SECRET=s3cret'];
    expect(lines).toEqual(expect.arrayContaining([...env, ...prefixed, ...keys]));
    expect(lines.filter((l) => /^(NO_MAP|NO_KEY)=/.test(l))).toEqual([]);
  });

  test('$(VAR) in command and args', async () => {
    const lines = await said('variables');
    expect(lines.filter((l) => /^(zero|arg) /.test(l))).toEqual([
      'zero <one-two>',
      'arg <one>',
      'arg <$(A)>',
      'arg <$(NONE)>',
      'arg <red>',
    ]);
  });

  test('fieldRef: every field of the pod; a pod knows its host', async () => {
    const lines = await said('fields');
    const { metadata, status, spec } = await pods.read('fields');
    expect(status?.podIP).toMatch(/^\d+\.\d+\.\d+\.\d+$/);
    expect(status?.hostIP).toMatch(/^\d+\.\d+\.\d+\.\d+$/);
    expect(lines).toEqual(
      expect.arrayContaining([
        'NAME=fields',
        `NAMESPACE=${NS}`,
        `UID=${metadata.uid}`,
        'LABEL=fields',
        'NOTE=a b',
        `NODE=${spec.nodeName}`,
        'ACCOUNT=default',
        `POD_IP=${status?.podIP}`,
        `POD_IPS=${status?.podIP}`,
        `HOST_IP=${status?.hostIP}`,
        `HOST_IPS=${status?.hostIP}`,
      ]),
    );
  });

  test('resourceFieldRef: rounded up by its divisor; without a limit what the node has', async () => {
    const own = ['CPU_LIMIT=2', 'CPU_REQUEST=250', 'MEMORY_LIMIT=64', `MEMORY_REQUEST=${32 << 20}`];
    expect(await said('fields')).toEqual(expect.arrayContaining(own));
    const nodes = [`CPU_LIMIT=${quantity('cpu') * 1000}`, `MEMORY_LIMIT=${quantity('memory')}`];
    expect(await said('unlimited')).toEqual(expect.arrayContaining(nodes));
  });

  test('a required key that is missing keeps the container waiting until it comes', async () => {
    const waits = (name: string) =>
      pods.until(
        name,
        'waits',
        (p) => containerStatus(p, 'main').state?.waiting?.reason === 'CreateContainerConfigError',
      );
    const [late, nokey] = await Promise.all([waits('late'), waits('nokey')]);
    expect(containerStatus(late, 'main').state?.waiting?.message).toBe('configmap "late" not found');
    expect(containerStatus(nokey, 'main').state?.waiting?.message).toBe(
      `couldn't find key absent in Secret ${NS}/keys`,
    );
    await pods.apply(config('late', { K: 'came' }));
    expect(await said('late')).toContain('LATE=came');
  });

  test('service variables: of the services of the pod’s namespace, unless it wants none', async () => {
    const { spec } = await cluster.client.get(Kinds.services, { namespace: NS, name: 'db-main' }, cluster.ctx);
    const ip = spec.clusterIP ?? '';
    const lines = await said('linked');
    expect(lines).toEqual(
      expect.arrayContaining([
        `DB_MAIN_SERVICE_HOST=${ip}`,
        'DB_MAIN_SERVICE_PORT=5432',
        'DB_MAIN_SERVICE_PORT_SQL_X=5432',
        'DB_MAIN_SERVICE_PORT_DNS=53',
        `DB_MAIN_PORT=tcp://${ip}:5432`,
        `DB_MAIN_PORT_5432_TCP=tcp://${ip}:5432`,
        'DB_MAIN_PORT_5432_TCP_PROTO=tcp',
        'DB_MAIN_PORT_5432_TCP_PORT=5432',
        `DB_MAIN_PORT_5432_TCP_ADDR=${ip}`,
        `DB_MAIN_PORT_53_UDP=udp://${ip}:53`,
      ]),
    );
    expect(lines.filter((l) => /^(FAR|SUB)_/.test(l))).toEqual([]);
    const none = await said('unlinked');
    expect(none.filter((l) => l.startsWith('DB_MAIN_'))).toEqual([]);
    for (const seen of [lines, none]) expect(seen.some((l) => l.startsWith('KUBERNETES_SERVICE_HOST='))).toBe(true);
  });

  test('command and args stand for the image’s entrypoint and command', async () => {
    const all = ['image', 'args', 'command', 'both', 'folder'];
    expect(await Promise.all(all.map(said))).toEqual([
      ['entry cmd two in /www from image'],
      ['entry arg in /www from image'],
      ['own  in /www from pod'],
      ['own arg in /www from image'],
      ['entry cmd two in /made/here from image'],
    ]);
  });

  test('the downward API as files, with their modes; labels and annotations that change are written again', async () => {
    await pods.ready('downward');
    const exec = async (script: string) =>
      (await cluster.kubectl('exec', 'downward', '-c', 'main', '--', 'sh', '-c', script)).stdout;
    const values = {
      name: 'downward',
      'meta/labels': 'part="downward"',
      cpu_limit: '1250',
      cpu_request: '250',
      memory_limit: String(64 << 20),
      memory_request: '32',
      free_cpu: String(quantity('cpu') * 1000),
      free_memory: String(quantity('memory')),
    };
    for (const folder of ['down', 'projected']) {
      const files = Object.keys(values).map((f) => `/${folder}/${f}`);
      const out = await exec(
        `for f in ${files.join(' ')}; do echo "$(cat $f)"; done; cat /${folder}/meta/annotations; echo; busybox stat -Lc %a /${folder}/name /${folder}/cpu_limit`,
      );
      const lines = out.trim().split('\n');
      expect(lines.slice(0, files.length)).toEqual(Object.values(values));
      expect(lines).toContain('note="one"');
      expect(lines.slice(-2)).toEqual(['400', '440']);
    }
    const body = { metadata: { labels: { more: 'yes' }, annotations: { note: 'two' } } };
    await cluster.client.patch(Kinds.pods, { namespace: NS, name: 'downward' }, { type: 'merge', body }, cluster.ctx);
    await eventually('the files say so', 20_000, async () => {
      const out = await exec(
        'for d in down projected; do cat /$d/meta/labels; echo; cat /$d/meta/annotations; echo; done',
      );
      return out.split('more="yes"').length === 3 && out.split('note="two"').length === 3;
    });
  });

  test('files of ConfigMaps, Secrets and more, many times in one pod, renamed, joined and by subPath, as root and not', async () => {
    const lines = await said('files');
    const contents = ['blue', 'big', 's3cret', 's3cret', 'blue', 's3cret', 'files', 'big', 's3cret', 'files', 'blue'];
    /* The group of the pod may read what its owner may. */
    const modes = ['444', '440', '644', '440', '440', '444', '444', '2777', '2777'];
    const bytes = ['ff0080', String(MANY.length)];
    const made = (user: number): string[] => ['644', '666', '777'].map((mode) => `${mode} ${user}`);
    const seen = (user: number): string[] => [...contents, ...modes, ...bytes, ...made(user), ...made(user)];
    expect(lines).toEqual(seen(0));
    const { stdout } = await cluster.kubectl('logs', 'files', '-c', 'user');
    expect(stdout.trim().split('\n')).toEqual(seen(1000));
  });

  test('a projected volume follows its sources: a ConfigMap that changes, a Secret that comes', async () => {
    await pods.ready('downward');
    await pods.apply(config('changing', { state: 'two' }), secret('hoped-for', { came: 'here' }));
    await eventually('the files say so', 20_000, async () => {
      const files = ['state', 'came'].map((f) => `/projected/${f}`);
      return (await cluster.kubectl('exec', 'downward', '-c', 'main', '--', 'cat', ...files)).stdout === 'twohere';
    });
  });

  test('host names: hostname, subdomain, aliases, the whole name; others find it by its service', async () => {
    const part = (lines: readonly string[], file: string): string[] => {
      const rest = lines.slice(lines.indexOf(`-- ${file}`) + 1);
      const next = rest.findIndex((l) => l.startsWith('-- '));
      return (next < 0 ? rest : rest.slice(0, next)).map((l) => l.replaceAll('\t', ' ')).filter((l) => l !== '');
    };
    const named = await said('named');
    const ip = (await pods.read('named')).status?.podIP ?? '';
    expect(named.slice(0, 2)).toEqual(['h', 'HOSTNAME=h']);
    expect(part(named, 'hostname')).toEqual(['h']);
    const hosts = part(named, 'hosts');
    expect(hosts[0]).toBe('# Kubernetes-managed hosts file.');
    expect(hosts).toContain('127.0.0.1 localhost');
    expect(hosts).toContain(`${ip} h.sub.${NS}.svc.${DOMAIN} h`);
    expect(hosts).toContain('192.0.2.7 alias.example alias');
    const whole = `whole.sub.${NS}.svc.${DOMAIN}`;
    expect((await said('whole')).slice(0, 2)).toEqual([whole, `HOSTNAME=${whole}`]);
    expect((await said('overridden')).slice(0, 2)).toEqual(['over.example', 'HOSTNAME=over.example']);
    expect(part(await said('ownfile'), 'hosts')).toEqual(['192.0.2.9 mine']);
    expect((await said('resolves')).join('\n')).toContain(ip);
  });

  test('dnsPolicy and dnsConfig: which servers, searches and options a program has', async () => {
    const conf = async (name: string): Promise<string[]> => {
      const lines = await said(name);
      return lines.slice(lines.indexOf('-- resolv.conf') + 1);
    };
    const { spec } = await cluster.client.get(
      Kinds.services,
      { namespace: 'default', name: 'kubernetes' },
      cluster.ctx,
    );
    const host = readFileSync('/etc/resolv.conf', 'utf8');
    const ofHost = [...host.matchAll(/^nameserver\s+(\S+)/gm)].map((m) => `nameserver ${m[1]}`);
    expect(spec.clusterIP).toBeDefined();
    expect(await conf('nodns')).toEqual(['search ns1.svc my.search', 'nameserver 192.0.2.53', 'options ndots:2 edns0']);
    const first = await conf('named');
    expect(first[0]).toMatch(`search ${NS}.svc.${DOMAIN} svc.${DOMAIN} ${DOMAIN} `);
    expect(first[0]).toMatch(/ns1\.svc my\.search$/);
    expect(first.slice(-2)).toEqual(['nameserver 192.0.2.53', 'options ndots:2 edns0']);
    expect(ofHost).not.toContain(first[1]);
    for (const name of ['nodedns', 'onhost'])
      expect((await conf(name)).filter((l) => l.startsWith('nameserver'))).toEqual(ofHost);
    expect(await conf('onhostdns')).toContain(first[1]);
  });

  test('hostNetwork: its port is the host’s, its address too; /etc/hosts is the host’s with its aliases', async () => {
    const lines = (await said('onhost')).map((l) => l.replaceAll('\t', ' '));
    expect(lines).toContain('# Kubernetes-managed hosts file (host network).');
    expect(lines).toContain('192.0.2.7 alias.example alias');
    const { status, spec } = await pods.read('onhost');
    expect(status?.podIP).toBe(status?.hostIP);
    expect(lines[0]).toBe(spec.nodeName);
    const page = await eventually('a page', 10_000, async () => {
      const answer = await fetch(`http://127.0.0.1:${port}/passwd`, { signal: AbortSignal.timeout(2_000) });
      return answer.text();
    });
    expect(page).toContain('web:x:1000:1000:');
  });

  test('hostPID and hostIPC: the host’s processes and its shared memory, or neither', async () => {
    const ns = (name: string): string => readlinkSync(`/proc/self/ns/${name}`);
    const own = ['pid', 'ipc', 'net', 'uts'].map(ns);
    const shares: [name: string, namespaces: string[], memory: boolean, processes: boolean][] = [
      ['apart', [], false, false],
      ['hostspid', [ns('pid')], false, true],
      ['hostsipc', [ns('ipc')], true, false],
    ];
    for (const [name, namespaces, memory, processes] of shares) {
      const lines = await said(name);
      const seen = [lines.includes(SHARED), lines.includes(`/proc/${process.pid}`)];
      expect([lines.slice(0, 4).filter((n) => own.includes(n)), ...seen], name).toEqual([
        namespaces,
        memory,
        processes,
      ]);
      expect(lines).toContain('end');
    }
  });

  test('a node that is removed leaves no Lease', async () => {
    const name = cluster.layout.nodes[0]?.name ?? '';
    const key = { namespace: 'kube-node-lease', name };
    const lease = () => orGone(cluster.client.get(Kinds.leases, key, cluster.ctx));
    await eventually('its owner', 30_000, async () => (await lease())?.metadata.ownerReferences?.[0]?.name === name);
    using _away = await keepAway(cluster, `agent-${name}`);
    expect(await cluster.kubectl('delete', 'node', name)).toMatchObject({ code: 0 });
    await eventually('it is gone', 30_000, async () => (await lease()) === undefined);
  });
});
