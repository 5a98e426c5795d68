/**
 * What a host must have, one function a subject. Each says what it found and, where that is not enough, what to do. `FAIL` is
 * what Berth cannot run with; `warn` is what will hurt later, or hurts only some uses.
 */
import { join } from 'node:path';
import { messageOf } from '#lib/base';
import { defaultNodeConfiguration } from '../../agent/node-configuration.ts';
import { parseNodeConfiguration } from '../../agent/node-configuration-text.ts';
import { parseNodeSettings } from '../../agent/resources/node-settings.ts';
import { nodeConfigurationPath } from '../node-configuration.ts';
import { parseServerText } from '../server-configuration.ts';
import type { Host } from './host.ts';

export interface Finding {
  readonly level: 'ok' | 'warn' | 'FAIL';
  readonly subject: string;
  readonly found: string;
  /** What to do; absent when it is ok. */
  readonly remedy?: string;
}

export interface Wanted {
  readonly home: string;
  readonly ports: readonly (readonly [what: string, host: string, port: number, flag: string])[];
  /** Its own processes hold the ports: they are not looked at. */
  readonly isRunning: boolean;
  /** A host that only joins needs neither etcd nor NATS. */
  readonly controlPlane: boolean;
  /** Of the cluster's own tokens: server.yaml may not name it. */
  readonly tokenIssuer?: string | undefined;
  /** Of this host's nodes, below which their node.yaml is. */
  readonly nodeHomes?: readonly string[];
  /** Of an etcd of somebody else's that this cluster uses. */
  readonly etcd?: { readonly endpoints: readonly string[]; readonly hasCertificate: boolean } | undefined;
}

export type Check = (h: Host, w: Wanted) => Promise<readonly Finding[]>;

export const CHECKS: readonly Check[] = [
  root,
  kernel,
  cgroups,
  filesystems,
  programs,
  runtimes,
  namespaces,
  forwarding,
  firewall,
  ports,
  store,
  memory,
  inotify,
  openFiles,
  time,
  configuration,
  nodeConfigurations,
];

function ok(subject: string, found: string): Finding {
  return { level: 'ok', subject, found };
}

function warn(subject: string, found: string, remedy: string): Finding {
  return { level: 'warn', subject, found, remedy };
}

function fail(subject: string, found: string, remedy: string): Finding {
  return { level: 'FAIL', subject, found, remedy };
}

async function root(h: Host): Promise<readonly Finding[]> {
  return h.uid === 0
    ? [ok('user', 'root')]
    : [fail('user', `not root (uid ${h.uid})`, 'run Berth as root (sudo): it makes namespaces, mounts and links')];
}

/** openat2 (5.6) unpacks layers; pidfd_open (5.3) watches processes. */
async function kernel(h: Host): Promise<readonly Finding[]> {
  const [major = 0, minor = 0] = h.kernel.split(/[.-]/).map(Number);
  const out: Finding[] = [];
  if (major < 5 || (major === 5 && minor < 6))
    out.push(fail('kernel', h.kernel, 'Linux 5.6 or newer is needed (openat2): Debian 11 has 5.10, Debian 12 has 6.1'));
  else out.push(ok('kernel', h.kernel));
  if (h.arch !== 'x64' && h.arch !== 'arm64')
    out.push(warn('architecture', h.arch, 'Berth is tried on amd64; arm64 should work, others may not'));
  return out;
}

async function cgroups(h: Host): Promise<readonly Finding[]> {
  const mounts = (await h.read('/proc/self/mounts')).split('\n').map((l) => l.split(' '));
  const v2 = mounts.find((m) => m[2] === 'cgroup2')?.[1];
  const v1 = mounts.filter((m) => m[2] === 'cgroup').flatMap((m) => (m[3] ?? '').split(','));
  const unified = v2 === undefined ? [] : (await h.read(`${v2}/cgroup.controllers`)).trim().split(/\s+/);
  const kind = v2 === undefined ? 'v1' : v1.length === 0 ? 'v2' : 'hybrid';
  if (v2 === undefined && v1.length === 0)
    return [
      fail('cgroups', 'none are mounted', 'mount them: mount -t cgroup2 none /sys/fs/cgroup, or boot with systemd'),
    ];
  const has = (name: string): boolean => unified.includes(name) || v1.includes(name);
  const missing = ['cpu', 'memory', 'pids'].filter((x) => !has(x));
  if (missing.length > 0)
    return [
      fail(
        'cgroups',
        `${kind}, without ${missing.join(', ')}`,
        `boot with cgroup_enable=${missing.join(',')} (and swapaccount=1 for memory), or a kernel that has ${missing.join(', ')}`,
      ),
    ];
  return [ok('cgroups', `${kind}, with cpu, memory, pids${has('cpuset') ? ', cpuset' : ''}`)];
}

const OVERLAYFS = 0x794c7630;
const TMPFS = 0x01021994;
const NFS = 0x6969;
const GIB = 1024 ** 3;

async function filesystems(h: Host, w: Wanted): Promise<readonly Finding[]> {
  const out: Finding[] = [];
  const hasOverlay = /\boverlay$/m.test(await h.read('/proc/filesystems'));
  if (hasOverlay || (await h.run(['modprobe', '-n', '-q', 'overlay'])).code === 0) out.push(ok('overlayfs', 'there'));
  else out.push(fail('overlayfs', 'not in this kernel', 'modprobe overlay, or a kernel with CONFIG_OVERLAY_FS'));
  const disk = await h.disk(w.home);
  const what = `${(disk.freeBytes / GIB).toFixed(1)} GiB free of ${(disk.totalBytes / GIB).toFixed(1)} at ${w.home}`;
  if (disk.type === OVERLAYFS)
    out.push(
      fail(
        'disk',
        `${w.home} is on overlayfs itself`,
        'overlayfs cannot lie on overlayfs: choose a home on a disk (--home)',
      ),
    );
  else if (disk.type === TMPFS)
    out.push(
      warn(
        'disk',
        `${w.home} is on tmpfs, in memory`,
        'all state is lost at a reboot: choose a home on a disk (--home)',
      ),
    );
  else if (disk.type === NFS)
    out.push(fail('disk', `${w.home} is on NFS`, 'etcd and overlayfs need a local disk: choose another home (--home)'));
  if (disk.freeBytes < GIB) out.push(fail('disk space', what, 'make room: etcd and images need at least 1 GiB'));
  else if (disk.freeBytes < 5 * GIB || disk.freeBytes < disk.totalBytes * 0.1)
    out.push(warn('disk space', what, 'unused images are removed below 15 % free; give it more room'));
  else out.push(ok('disk space', what));
  if (disk.inodes > 0 && disk.freeInodes < disk.inodes * 0.05)
    out.push(warn('inodes', `${disk.freeInodes} free of ${disk.inodes}`, 'images hold many small files: free some'));
  return out;
}

/** Program, Debian package, who needs it. */
const PROGRAMS: readonly (readonly [string, string, 'all' | 'controlPlane'])[] = [
  ['ip', 'iproute2', 'all'],
  ['nft', 'nftables', 'all'],
  ['nsenter', 'util-linux', 'all'],
  ['etcd', 'etcd-server', 'controlPlane'],
  ['nats-server', 'nats-server', 'controlPlane'],
];

async function programs(h: Host, w: Wanted): Promise<readonly Finding[]> {
  const out: Finding[] = [];
  for (const [program, debian, who] of PROGRAMS) {
    if (who === 'controlPlane' && !w.controlPlane) continue;
    const path = await h.which(program);
    if (path !== undefined) out.push(ok(program, path));
    else out.push(fail(program, 'not installed', `apt-get install --no-install-recommends ${debian}`));
  }
  return out;
}

/** Fixes of CVE-2025-31133, -52565 and -52881, by release line; what a distribution patched carries its mark. */
const RUNC_FIXED: readonly (readonly [number, number, number])[] = [
  [1, 2, 8],
  [1, 3, 3],
  [1, 4, 0],
];

async function runtimes(h: Host): Promise<readonly Finding[]> {
  const out: Finding[] = [];
  const runc = (await h.which('runc')) === undefined ? undefined : (await h.run(['runc', '--version'])).text;
  const crun = (await h.which('crun')) === undefined ? undefined : (await h.run(['crun', '--version'])).text;
  if (runc === undefined && crun === undefined)
    return [fail('runtime', 'neither runc nor crun is installed', 'apt-get install --no-install-recommends runc crun')];
  if (runc !== undefined) out.push(runcFinding(runc));
  if (crun === undefined)
    out.push(
      warn('crun', 'not installed', 'runc is used, which starts a container three times slower: apt-get install crun'),
    );
  else out.push(ok('crun', /version (\S+)/.exec(crun)?.[1] ?? 'version unknown'));
  return out;
}

export function runcFinding(text: string): Finding {
  const version = /version (\d+)\.(\d+)\.(\d+)(\S*)/.exec(text);
  if (version === null)
    return warn('runc', 'its version cannot be told', 'runc --version should say it: reinstall runc');
  const [major = 0, minor = 0, patch = 0] = version.slice(1, 4).map(Number);
  const shown = `${major}.${minor}.${patch}${version[4] ?? ''}`;
  // Distributions patch old versions: deb12u1, ubuntu0.24.04.1.
  if (/deb\d+u\d+|ubuntu\d/.test(text)) return ok('runc', `${shown}, patched by the distribution`);
  const line = RUNC_FIXED.find((f) => f[0] === major && f[1] === minor);
  const isEarly = line !== undefined && patch === line[2] && /^-rc\.?[12]\b/.test(version[4] ?? '');
  const isFixed = line !== undefined ? patch >= line[2] && !isEarly : major > 1 || (major === 1 && minor > 4);
  if (isFixed) return ok('runc', shown);
  return warn(
    'runc',
    shown,
    'it has known ways out of a container (CVE-2025-31133, -52565, -52881): take 1.2.8, 1.3.3, 1.4.0 or newer',
  );
}

/** In a network namespace that goes with the program: nothing of the trial stays. */
async function namespaces(h: Host): Promise<readonly Finding[]> {
  if (h.uid !== 0) return [warn('namespaces', 'not tried', 'only root can: run berth doctor as root')];
  const inside = (...argv: string[]): Promise<{ code: number; text: string }> => h.run(['unshare', '--net', ...argv]);
  const plain = await inside('true');
  if (plain.code !== 0)
    return [
      fail(
        'namespaces',
        `no network namespace can be made: ${lineOf(plain.text)}`,
        'a container needs --privileged, a kernel CONFIG_NET_NS',
      ),
    ];
  const trials = [
    ['bridge', 'ip link add d0 type bridge', 'modprobe bridge'],
    ['veth', 'ip link add d0 type veth peer name d1', 'modprobe veth'],
    ['vxlan', 'ip link add d0 type vxlan id 1 dstport 8472', 'modprobe vxlan (only clusters of several hosts need it)'],
    ['nftables', 'nft add table inet d0', 'modprobe nf_tables'],
  ] as const;
  const out: Finding[] = [];
  for (const [what, command, remedy] of trials) {
    const done = await inside(...command.split(' '));
    if (done.code === 0) continue;
    const make = what === 'vxlan' ? warn : fail;
    out.push(make(what, `not possible: ${lineOf(done.text)}`, remedy));
  }
  return out.length > 0 ? out : [ok('namespaces', 'with bridge, veth, vxlan and nftables')];
}

function lineOf(text: string): string {
  return text.trim().split('\n').at(-1) ?? '';
}

/** Berth adds accepting rules itself (agent/network/forward-policy.ts); they need iptables, where iptables made the policy. */
async function forwarding(h: Host): Promise<readonly Finding[]> {
  const bridged = (await h.read('/proc/sys/net/bridge/bridge-nf-call-iptables')).trim() === '1';
  const has = (await h.which('iptables')) !== undefined;
  const policy = has
    ? (await h.run(['iptables', '-S', 'FORWARD'])).text
    : (await h.run(['nft', 'list', 'chain', 'ip', 'filter', 'FORWARD'])).text;
  const drops = /^-P FORWARD DROP/m.test(policy) || /hook forward[^;]*;\s*policy drop/.test(policy);
  const filter = bridged ? ', bridged packets pass iptables (br_netfilter)' : '';
  if (drops && !has)
    return [
      warn(
        'forwarding',
        `the FORWARD chain drops${filter}`,
        'apt-get install iptables: then Berth adds rules that let pods through',
      ),
    ];
  if (drops)
    return [ok('forwarding', `the FORWARD chain drops, as docker sets it${filter}; Berth adds rules for its pods`)];
  return [ok('forwarding', `not dropped${filter}`)];
}

async function firewall(h: Host): Promise<readonly Finding[]> {
  const open = 'let other hosts reach TCP 6443, 6444 and 5000, and all hosts each other on UDP 8472';
  if (await h.exists('/run/firewalld'))
    return [warn('firewall', 'firewalld runs', `${open}: firewall-cmd --add-port …`)];
  if (/^ENABLED=yes/m.test(await h.read('/etc/ufw/ufw.conf')))
    return [warn('firewall', 'ufw is on', `${open}: ufw allow …`)];
  return [];
}

async function ports(h: Host, w: Wanted): Promise<readonly Finding[]> {
  if (w.isRunning) return [ok('ports', 'held by the processes of this instance, which run')];
  const out: Finding[] = [];
  for (const [what, host, port, flag] of w.ports) {
    const problem = await h.portProblem(host, port);
    if (problem !== undefined)
      out.push(
        fail(`port ${port}`, `for the ${what}: ${problem} (${host})`, `free it, or choose another with ${flag}`),
      );
  }
  return out.length > 0 ? out : [ok('ports', `${[...new Set(w.ports.map((p) => p[2]))].join(', ')} are free`)];
}

/** A managed etcd takes no client without a certificate of its own authority. */
async function store(_: Host, w: Wanted): Promise<readonly Finding[]> {
  if (w.etcd === undefined) return [];
  const open = w.etcd.endpoints.filter((e) => !e.startsWith('https:'));
  if (open.length === 0 && w.etcd.hasCertificate) return [ok('etcd access', 'by client certificate')];
  const found = open.length > 0 ? `${open.join(', ')} without TLS` : 'without a client certificate';
  const remedy =
    'who reaches it may read every Secret and change everything: let it take https with client certificates only ' +
    '(--client-cert-auth), and make the cluster with --etcd-ca, --etcd-cert and --etcd-key';
  return [warn('etcd access', found, remedy)];
}

async function memory(h: Host, w: Wanted): Promise<readonly Finding[]> {
  const text = `${(h.memoryBytes / GIB).toFixed(1)} GiB`;
  const least = w.controlPlane ? 1 : 0.5;
  return h.memoryBytes < least * GIB
    ? [warn('memory', text, `Berth itself takes about ${w.controlPlane ? 320 : 150} MB: little is left for pods`)]
    : [ok('memory', text)];
}

const INSTANCES_MIN = 512;
const WATCHES_MIN = 65_536;

async function inotify(h: Host): Promise<readonly Finding[]> {
  const instances = Number((await h.read('/proc/sys/fs/inotify/max_user_instances')).trim());
  const watches = Number((await h.read('/proc/sys/fs/inotify/max_user_watches')).trim());
  const found = `${instances} instances, ${watches} watches`;
  if (instances >= INSTANCES_MIN && watches >= WATCHES_MIN) return [ok('inotify', found)];
  const settings = `sysctl -w fs.inotify.max_user_instances=${Math.max(instances, 1024)} fs.inotify.max_user_watches=${Math.max(watches, 524_288)}`;
  return [
    warn(
      'inotify',
      found,
      `programs in pods share these and fail with "too many open files": ${settings}, and the same below /etc/sysctl.d`,
    ),
  ];
}

async function openFiles(h: Host): Promise<readonly Finding[]> {
  const line = /^Max open files\s+(\S+)\s+(\S+)/m.exec(await h.read('/proc/self/limits'));
  const hard = line?.[2] === 'unlimited' ? Number.POSITIVE_INFINITY : Number(line?.[2]);
  if (Number.isNaN(hard)) return [];
  return hard < 65_536
    ? [warn('open files', `at most ${hard}`, 'raise it: ulimit -Hn 1048576, or LimitNOFILE= of the unit')]
    : [ok('open files', line?.[2] ?? '')];
}

/** 2025-01-01: older than any certificate that Berth makes. */
const EARLIEST_MS = 1_735_689_600_000;

async function time(h: Host): Promise<readonly Finding[]> {
  if (h.nowMs() < EARLIEST_MS)
    return [fail('time', 'the clock is years behind', 'set it: certificates would not be valid yet')];
  const told = await h.run(['timedatectl', 'show', '--property=NTPSynchronized', '--value']);
  if (told.code === 0 && told.text.trim() === 'no')
    return [
      warn('time', 'not synchronized', 'hosts must agree on the time: timedatectl set-ntp true, or install chrony'),
    ];
  return [ok('time', told.code === 0 ? 'synchronized' : 'plausible; whether it is synchronized cannot be told here')];
}

/** A server that is told what it does not understand does not start. */
async function configuration(h: Host, w: Wanted): Promise<readonly Finding[]> {
  const path = join(w.home, 'server.yaml');
  const text = w.controlPlane ? await h.read(path) : '';
  if (text === '') return [];
  try {
    await parseServerText(text, w.tokenIssuer === undefined ? [] : [w.tokenIssuer]);
    return [ok('settings', path)];
  } catch (e) {
    return [fail('settings', `${path}: ${messageOf(e)}`, 'mend the file (docs/howto/configure-the-server.md)')];
  }
}

/** An agent that is told what it does not understand does not start either. */
async function nodeConfigurations(h: Host, w: Wanted): Promise<readonly Finding[]> {
  const look = async (path: string, parse: (text: string) => Promise<unknown>): Promise<readonly Finding[]> => {
    const text = await h.read(path);
    if (text === '') return [];
    try {
      await parse(text);
      return [ok('settings', path)];
    } catch (e) {
      return [fail('settings', `${path}: ${messageOf(e)}`, 'mend the file (docs/howto/configure-a-node.md)')];
    }
  };
  const findings = (w.nodeHomes ?? []).flatMap((home) => [
    look(nodeConfigurationPath(home), parseNodeSettings),
    look(join(home, 'node.yaml'), async (text) => parseNodeConfiguration(text, await defaultNodeConfiguration(home))),
  ]);
  return (await Promise.all(findings)).flat();
}
