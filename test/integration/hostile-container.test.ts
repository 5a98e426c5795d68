/**
 * A program that is root in an ordinary pod's container and wants out of it: each way is tried for real, on crun and runc, with
 * the specification that the agent makes. Beside it a set-uid program, and what a privileged container may do instead.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { hostSecurity } from '../../agent/runtime/isolation/host.ts';
import { hostDevices } from '../../agent/runtime/isolation/host-devices.ts';
import { isolate } from '../../agent/runtime/isolation/isolate.ts';
import { defaultIsolation } from '../../agent/runtime/isolation/settings.ts';
import type { StartContainer } from '../../agent/runtime/runtime.ts';
import { ociSpecOf } from '../../agent/runtime/spec.ts';
import { RuntimeHost } from './runtime-host.ts';

/** What is tried, and what must not be there afterwards. Each prints nothing when it fails, as it should. */
const ATTEMPTS: readonly (readonly [what: string, script: string])[] = [
  ['mounts a file system', 'mkdir -p /tmp/m; mount -t tmpfs none /tmp/m'],
  ['remounts what is read-only', 'mount -o remount,rw /proc/sys'],
  ['unmounts a mask', 'umount /proc/kcore'],
  ['makes a user namespace', 'unshare -U true'],
  ['makes a mount namespace', 'unshare -m true'],
  ['reads a disk by a node of its own', 'mknod /tmp/disk b 254 0 && head -c 1 /tmp/disk'],
  ['reads kernel memory by a node of its own', 'mknod /tmp/mem c 1 1 && head -c 1 /tmp/mem'],
  ['reads the kernel log by a node of its own', 'mknod /tmp/kmsg c 1 11 && head -c 1 /tmp/kmsg'],
  ['sets the handler of crashes', 'echo /tmp/x > /proc/sys/kernel/core_pattern'],
  ['writes to the kernel by sysrq', 'echo h > /proc/sysrq-trigger'],
  ['sets a hotplug helper', 'echo /tmp/x > /sys/kernel/uevent_helper'],
  ['reads kcore', 'head -c 1 /proc/kcore | wc -c | while read n; do [ $n = 1 ]; done'],
  [
    'makes a cgroup',
    'for d in /sys/fs/cgroup /sys/fs/cgroup/*; do [ -e $d/cgroup.procs ] && mkdir $d/x && exit 0; done; false',
  ],
  ['sets a release agent', 'echo /tmp/x > /sys/fs/cgroup/memory/release_agent'],
  ['sets the clock', 'date -s 2001-01-01; [ $(date +%Y) = 2001 ]'],
  ['names the host', 'hostname stolen'],
  ['enters the namespaces of its first process', 'nsenter -t 1 -m true'],
  ['loads a module', 'echo x > /tmp/x.ko; insmod /tmp/x.ko 2>&1 | grep -v -i "not permitted" | grep .'],
  ['adds swap', 'dd if=/dev/zero of=/tmp/swap bs=4096 count=16; swapon /tmp/swap'],
  ['has another root', 'mkdir -p /tmp/old && pivot_root /tmp /tmp/old'],
  ['makes its memory harder to kill', 'echo -1000 > /proc/self/oom_score_adj'],
];
const APPLETS = 'mount umount unshare mknod hostname date nsenter insmod swapon pivot_root grep chmod'.split(' ');

/** Prints its effective user. */
const WHOAMI =
  '#include <stdio.h>\n#include <unistd.h>\nint main(void) { printf("%d\\n", (int)geteuid()); return 0; }\n';

for (const program of ['crun', 'runc'])
  describe(`a hostile container on ${program} (root)`, () => {
    let h: RuntimeHost;
    beforeEach(async () => {
      h = await RuntimeHost.open(program);
      for (const a of APPLETS) execFileSync('ln', ['-sf', 'busybox', join(h.rootfs, 'bin', a)]);
      for (const f of ['etc', 'usr']) mkdirSync(join(h.rootfs, f), { recursive: true });
    });
    afterEach(async () => {
      await h.close();
    });

    async function container(script: string, security: object = {}, uid = 0): Promise<StartContainer> {
      const plain = h.container(['sh', '-c', script]);
      const pod = { metadata: { name: 'p', namespace: 'd', uid: 'u' }, spec: { containers: [] } } as never;
      const spec = { name: 'c', image: 'i', securityContext: security } as never;
      const made = ociSpecOf({
        pod,
        container: spec,
        image: { user: '', env: [], entrypoint: [], cmd: [], workingDir: '', stopSignal: '', volumes: [], labels: {} },
        rootfs: h.rootfs,
        cgroupPath: `${h.group}/${plain.id}`,
        namespaces: {},
        environment: new Map([['PATH', '/bin']]),
        args: ['sh', '-c', script],
        user: { uid, gid: uid, additionalGids: [] },
        binds: [],
        resources: { cpu: { shares: 2 }, pids: { limit: 200 } },
        oomScoreAdj: 0,
        hostname: 'p',
        hasCgroupNamespace: false,
      });
      /* As a pod has them by its pinned namespaces. */
      made.linux.namespaces.push({ type: 'network' }, { type: 'ipc' }, { type: 'uts' });
      const host = { ...(await hostSecurity()), appArmor: false };
      const settings = defaultIsolation({ seccompFolder: h.folder, host });
      return { ...plain, spec: await isolate(made, { pod, container: spec }, settings) };
    }
    async function run(o: StartContainer): Promise<string[]> {
      await h.runtime.start(o, h.c);
      await h.exited(o.id);
      return h.log(o).map((l) => l.replace(/^std(out|err) F /, ''));
    }

    test('does not get out by any of the ways', async () => {
      const before = {
        pattern: readFileSync('/proc/sys/kernel/core_pattern', 'utf8'),
        name: readFileSync('/proc/sys/kernel/hostname', 'utf8'),
        swaps: readFileSync('/proc/swaps', 'utf8'),
      };
      const script = ATTEMPTS.map(([what, s]) => `( ${s} ) >/dev/null 2>&1 && echo "${what}"`).join('\n');
      expect(await run(await container(`${script}\necho all tried`))).toEqual(['all tried']);
      expect({
        pattern: readFileSync('/proc/sys/kernel/core_pattern', 'utf8'),
        name: readFileSync('/proc/sys/kernel/hostname', 'utf8'),
        swaps: readFileSync('/proc/swaps', 'utf8'),
      }).toEqual(before);
    });

    test('gains nothing by a set-uid program, unless it is allowed to', async () => {
      writeFileSync(join(h.folder, 'whoami.c'), WHOAMI);
      const tool = join(h.rootfs, 'bin/effective-user');
      execFileSync('musl-gcc', ['-static', '-o', tool, join(h.folder, 'whoami.c')]);
      chmodSync(tool, 0o4755);
      expect(statSync(tool).mode & 0o4000).toBe(0o4000);
      expect(await run(await container('effective-user', {}, 1000))).toEqual(['1000']);
      expect(await run(await container('effective-user', { allowPrivilegeEscalation: true }, 1000))).toEqual(['0']);
    });

    test('a privileged one has the devices of the host and may mount', async () => {
      const devices = (await hostDevices()).filter((d) => existsSync(d.path));
      const block = devices.find((d) => d.type === 'b') ?? devices.find((d) => d.path === '/dev/kmsg');
      const nested = devices.find((d) => d.path.split('/').length > 3);
      const paths = [block, nested].map((d) => d?.path ?? '/dev/null');
      const script = `${paths.map((p) => `[ -e ${p} ] && echo ${p}`).join('; ')}; mount -t tmpfs none /tmp && echo mounted`;
      expect(await run(await container(script, { privileged: true }))).toEqual([...paths, 'mounted']);
      expect(await run(await container(`[ -e ${paths[0]} ] || echo none`))).toEqual(['none']);
    });
  });
