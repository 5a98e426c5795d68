/**
 * As whom a program runs and with which capabilities, told by the program itself; what the kernel is told of it when memory is
 * short; and what a user is told of an image whose configuration makes no sense.
 */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { PackEntry } from '#lib/oci';
import { eventually } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';
import { IDLES, NodePods } from './node-pods.ts';

/** By their numbers: include/uapi/linux/capability.h. */
const CHOWN = 0;
const KILL = 5;
const NET_BIND_SERVICE = 10;
const NET_ADMIN = 12;
/** Docker's and containerd's list: chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap, net_bind_service, net_raw, sys_chroot, mknod, audit_write, setfcap. */
const DEFAULT = [0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31];
const CAPABILITIES =
  'while read k v; do case $k in CapPrm:|CapEff:|CapBnd:|CapInh:|CapAmb:) echo $k $v;; esac; done </proc/self/status';
const GIB = 1 << 30;
const EXTRA = 50_000;
const USERS = [
  { type: 'file', path: 'etc/passwd', data: Buffer.from('root:x:0:0::/:/bin/sh\nweb:x:1000:1000::/:/bin/sh\n') },
  { type: 'file', path: 'etc/group', data: Buffer.from(`root:x:0:\nweb:x:1000:\nextra:x:${EXTRA}:web\n`) },
] as const;

function mask(numbers: readonly number[]): string {
  return numbers
    .reduce((all, n) => all | (1n << BigInt(n)), 0n)
    .toString(16)
    .padStart(16, '0');
}

/** Of root: all that is in the bounding set is held, nothing is inherited. */
function held(numbers: readonly number[]): string {
  const all = mask(numbers);
  return `CapInh: ${mask([])}\nCapPrm: ${all}\nCapEff: ${all}\nCapBnd: ${all}\nCapAmb: ${mask([])}`;
}

const without = (...gone: number[]): number[] => DEFAULT.filter((n) => !gone.includes(n));
/** argv: address. Says twice, as root with CAP_NET_RAW may, that the address is at the link of this pod. */
const CLAIM = `
#include <arpa/inet.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
int main(int argc, char **argv) {
  (void)argc;
  struct ifreq link = {.ifr_name = "eth0"};
  int s = socket(AF_PACKET, SOCK_RAW, htons(0x0806));
  if (s < 0 || ioctl(s, SIOCGIFHWADDR, &link) < 0) return 1;
  unsigned char f[42] = {[12] = 8, 6, 0, 1, 8, 0, 6, 4, 0, 1};
  memset(f, 255, 6);
  memcpy(f + 6, link.ifr_hwaddr.sa_data, 6);
  memcpy(f + 22, link.ifr_hwaddr.sa_data, 6);
  inet_pton(AF_INET, argv[1], f + 28);
  inet_pton(AF_INET, argv[1], f + 38);
  struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex("eth0"), .sll_halen = 6};
  for (int i = 0; i < 2; i++) {
    f[21] = (unsigned char)(i + 1);
    if (sendto(s, f, sizeof f, 0, (struct sockaddr *)&to, sizeof to) != sizeof f) return 2;
  }
  puts("claimed");
  return 0;
}`;

const security = (securityContext: object): object => ({ securityContext });
const capabilities = (o: { add?: string[]; drop?: string[] }): object => security({ capabilities: o });

async function claimProgram(): Promise<PackEntry> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-claim-'));
  try {
    await writeFile(join(folder, 'claim.c'), CLAIM);
    execFileSync('musl-gcc', ['-static', '-o', join(folder, 'claim'), join(folder, 'claim.c')]);
    return { type: 'file', path: 'bin/claim', data: await readFile(join(folder, 'claim')), mode: 0o755 };
  } finally {
    await rm(folder, { recursive: true });
  }
}

describe('who a program is, and what it may (root)', () => {
  let t: NodePods;
  tellWhenFailed(() => t?.cluster);

  beforeAll(async () => {
    t = await NodePods.open('who');
    const images = Object.fromEntries(
      await Promise.all(
        Object.entries({
          named: { user: 'web' },
          numeric: { user: '1000:1000' },
          ghost: { user: 'ghost' },
          'ghost-group': { user: 'web:ghosts' },
          huge: { user: '99999999999999999999' },
          negative: { user: '-1' },
          long: { user: 'x'.repeat(20_000) },
          'in-file': { workingDir: '/bin/busybox' },
          'in-link': { workingDir: '/out/of/here' },
          relative: { workingDir: 'some/where' },
          'long-folder': { workingDir: `/${'y'.repeat(20_000)}` },
          upward: { workingDir: '/../../../../made/here' },
        }).map(async ([name, config]) => {
          const out = { type: 'symlink', path: 'out', target: '../../../../../../..' } as const;
          return [name, await t.push(`odd/${name}:1`, config, [...USERS, out])] as const;
        }),
      ),
    );
    const of = (name: string): object => ({ image: images[name] });
    const memory = (requests: string, limits?: string): object => ({
      resources: { requests: { memory: requests }, ...(limits === undefined ? {} : { limits: { memory: limits } }) },
    });
    const sidecar = {
      name: 'side',
      image: t.image,
      restartPolicy: 'Always',
      command: ['sh', '-c', 'cat /proc/self/oom_score_adj; sleep 1000'],
    };
    const score = 'cat /proc/self/oom_score_adj';
    await t.apply(
      t.pod('root-image', 'id', security({ runAsNonRoot: true })),
      t.pod('root-user', 'id', security({ runAsNonRoot: true, runAsUser: 0 })),
      t.pod('named-user', 'id', { ...of('named'), ...security({ runAsNonRoot: true }) }),
      t.pod('numeric-user', 'id', { ...of('numeric'), ...security({ runAsNonRoot: true }) }),
      t.pod('other-user', 'id', security({ runAsUser: 65534, runAsGroup: 65533, runAsNonRoot: true })),
      t.pod('merge', 'id', of('named'), security({ supplementalGroups: [3000], fsGroup: 4000 })),
      t.pod(
        'strict',
        'id',
        of('named'),
        security({ supplementalGroups: [3000], fsGroup: 4000, supplementalGroupsPolicy: 'Strict' }),
      ),
      t.pod('plain', CAPABILITIES),
      t.pod('plain-user', CAPABILITIES, security({ runAsUser: 1000 })),
      t.pod('adds', `${CAPABILITIES}; ip link set lo mtu 1234 && echo made`, capabilities({ add: ['NET_ADMIN'] })),
      t.pod(
        'drops',
        `${CAPABILITIES}; ip link set lo mtu 1234 2>&1 || busybox chown 1 /tmp 2>&1 || echo refused`,
        capabilities({ drop: ['CHOWN', 'CAP_KILL'] }),
      ),
      t.pod('one', CAPABILITIES, capabilities({ drop: ['ALL'], add: ['NET_BIND_SERVICE'] })),
      t.pod('both', CAPABILITIES, capabilities({ drop: ['NET_ADMIN'], add: ['NET_ADMIN'] })),
      t.pod('best-effort', score),
      t.pod('burstable', score, memory('1Gi'), { initContainers: [sidecar] }),
      t.pod('guaranteed', score, { resources: { limits: { cpu: '10m', memory: '64Mi' } } }),
      t.pod('victim', 'mkdir /w; echo mine >/w/index.html; exec httpd -f -p 8080 -h /w'),
      t.pod('thief', IDLES, { image: await t.push('odd/thief:1', {}, [await claimProgram()]) }),
      t.pod('killed', 'kill -9 $$$$; sleep 1000', memory('32Mi', '64Mi'), { shareProcessNamespace: true }),
      ...[
        'ghost',
        'ghost-group',
        'huge',
        'negative',
        'long',
        'in-file',
        'in-link',
        'relative',
        'upward',
        'long-folder',
      ].map((name) => t.pod(name, 'id; busybox pwd', of(name))),
    );
  });
  afterAll(() => t?.cluster.stop());

  test('a program with the default capabilities cannot claim the address of another pod', async () => {
    const { podIP = '' } = (await t.ready('victim')).status ?? {};
    await t.ready('thief');
    const page = 'wget -q -O - http://';
    await eventually('the victim serves', 20_000, async () =>
      (await t.exec('thief', `busybox ${page}${podIP}:8080/`)) === 'mine\n' ? true : undefined,
    );
    expect(await t.exec('thief', `claim ${podIP}`)).toBe('claimed\n');
    await t.apply(t.pod('asks', `${page}${podIP}:8080/`));
    expect(await t.said('asks')).toBe('mine');
  });

  const refusal = (name: string) => t.waiting(name, /Error$/);

  test('runAsNonRoot: root is refused with words, by number too, and a name that cannot be told; another user runs', async () => {
    expect(await refusal('root-image')).toEqual({
      reason: 'CreateContainerConfigError',
      message: 'container has runAsNonRoot and image will run as root',
    });
    expect((await refusal('root-user')).message).toBe("container's runAsUser breaks non-root policy");
    expect((await refusal('named-user')).message).toBe(
      'container has runAsNonRoot and image has non-numeric user (web), cannot verify user is non-root',
    );
    expect(await t.event('root-image', /^Failed /)).toContain('runAsNonRoot');
    expect(await t.said('numeric-user')).toMatch(/^uid=1000(\(web\))? gid=1000/);
    expect(await t.said('other-user')).toBe('uid=65534 gid=65533 groups=65533');
  });

  test('supplementalGroupsPolicy: Merge has the groups of the image, Strict those of the pod alone; the status says so', async () => {
    const groups = async (name: string) =>
      /groups=(.*)/
        .exec(await t.said(name))?.[1]
        ?.split(',')
        .map((g) => Number.parseInt(g, 10))
        .sort((a, b) => a - b);
    expect(await groups('merge')).toEqual([1000, 3000, 4000, EXTRA]);
    expect(await groups('strict')).toEqual([1000, 3000, 4000]);
    const told = async (name: string) =>
      (await t.read(name)).status?.containerStatuses?.[0]?.user?.linux?.supplementalGroups;
    expect([await told('merge'), await told('strict')]).toEqual([
      expect.arrayContaining([1000, 3000, 4000, EXTRA]),
      [1000, 3000, 4000],
    ]);
  });

  test('capabilities: the default set, in force for root alone; added, dropped, all but one; dropped counts before added', async () => {
    expect(await t.said('plain')).toBe(held(DEFAULT));
    expect(await t.said('plain-user')).toBe(
      `CapInh: ${mask([])}\nCapPrm: ${mask([])}\nCapEff: ${mask([])}\nCapBnd: ${mask(DEFAULT)}\nCapAmb: ${mask([])}`,
    );
    expect(await t.said('adds')).toBe(`${held([...DEFAULT, NET_ADMIN])}\nmade`);
    expect(await t.said('drops')).toMatch(new RegExp(`^${held(without(CHOWN, KILL))}\n[\\s\\S]*refused$`));
    expect(await t.said('one')).toBe(held([NET_BIND_SERVICE]));
    expect(await t.said('both')).toBe(held(DEFAULT));
  });

  test('oom_score_adj by QoS class, a sidecar’s no higher than its pod’s; a SIGKILL is no OOMKilled', async () => {
    const qos = async (name: string) => (await t.read(name)).status?.qosClass;
    expect([await qos('best-effort'), await qos('burstable'), await qos('guaranteed')]).toEqual([
      'BestEffort',
      'Burstable',
      'Guaranteed',
    ]);
    const scores = await Promise.all(['best-effort', 'burstable', 'guaranteed'].map((name) => t.said(name)));
    const burstable = 1000 - Math.floor((1000 * GIB) / totalmem());
    expect(scores.slice(0, 2)).toEqual(['1000', String(burstable)]);
    /* As low as the host lets it be: -997 where it may be lowered. */
    expect(Number(scores[2])).toBeLessThan(3);
    expect((await t.logs('burstable', '-c', 'side')).trim()).toBe(String(burstable));
    const killed = (await t.ended('killed')).status?.containerStatuses?.[0]?.state?.terminated;
    expect(killed).toMatchObject({ reason: 'Error', exitCode: 137 });
  });

  test('a user that the image does not know keeps its container waiting, with words; other pods run on', async () => {
    const unknown = (what: string) => ({
      reason: 'CreateContainerConfigError',
      message: `unable to find ${what}: no matching entries in the image`,
    });
    expect(await refusal('ghost')).toEqual(unknown('user ghost'));
    expect(await refusal('ghost-group')).toEqual(unknown('group ghosts'));
    expect(await refusal('huge')).toEqual(unknown('user 99999999999999999999'));
    expect(await refusal('negative')).toEqual(unknown('user -1'));
    const long = await refusal('long');
    expect(long.message).toMatch(/^unable to find user x{64}…: /);
  });

  test('a working directory that is a file is told; one that is missing is made, inside the root, wherever it points', async () => {
    const told = async (name: string) => (await t.ended(name)).status?.containerStatuses?.[0]?.state?.terminated;
    const refused = { exitCode: 128, reason: 'StartError' };
    expect(await told('in-file')).toMatchObject({
      ...refused,
      message: 'the container could not be started: chdir `/bin/busybox`: Not a directory',
    });
    const long = await told('long-folder');
    expect(long).toMatchObject(refused);
    expect(long?.message).toMatch(/File name too long/);
    expect(long?.message?.length).toBeLessThan(5000);
    expect([await t.said('in-link'), await t.said('relative'), await t.said('upward')]).toEqual(
      ['/of/here', '/some/where', '/made/here'].map((path) => `uid=0(root) gid=0(root) groups=0(root)\n${path}`),
    );
    expect(['/of', '/some', '/made'].filter((path) => existsSync(path))).toEqual([]);
  });
});
