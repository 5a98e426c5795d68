/**
 * Isolation on real crun and runc: that the filter is the one libseccomp would make of the profile, that it is in force in a
 * container's program and in what is exec'd into it, and what no_new_privs takes away.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { arch, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { ContainerSpec, PodObject } from '../../agent/pods/model.ts';
import { SYSCALLS } from '../../agent/runtime/isolation/gen/syscalls.ts';
import { isolate } from '../../agent/runtime/isolation/isolate.ts';
import { compileSeccomp } from '../../agent/runtime/isolation/seccomp-bpf.ts';
import { runtimeDefaultSeccomp, SECCOMP_CAPABILITIES } from '../../agent/runtime/isolation/seccomp-default.ts';
import { defaultIsolation } from '../../agent/runtime/isolation/settings.ts';
import { answerText, runFilter } from '../../agent/runtime/isolation/testing/bpf.ts';
import type { OciSeccomp, OciSpec } from '../../agent/runtime/oci-spec.ts';
import type { StartContainer } from '../../agent/runtime/runtime.ts';
import { RuntimeHost } from './runtime-host.ts';

/** Reads rules, a line each, and writes the filter that libseccomp makes of them. */
const REFERENCE = `
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
struct arg { unsigned int index; int op; uint64_t a, b; };
void *seccomp_init(uint32_t action);
int seccomp_arch_add(void *ctx, uint32_t token);
int seccomp_syscall_resolve_name(const char *name);
int seccomp_rule_add_array(void *ctx, uint32_t action, int number, unsigned int count, const struct arg *args);
int seccomp_export_bpf(void *ctx, int fd);
int main(void) {
  char name[64]; unsigned int action, first; int count, r;
  if (scanf("%u", &first) != 1) return 2;
  void *ctx = seccomp_init(first);
  for (;;) {
    r = scanf("%63s", name);
    if (r != 1) break;
    if (!strcmp(name, "arch")) { if (scanf("%u", &action) != 1) return 3; seccomp_arch_add(ctx, action); continue; }
    struct arg arg = {0};
    unsigned long long a, b;
    if (scanf("%u %d %u %d %llu %llu", &action, &count, &arg.index, &arg.op, &a, &b) != 6) return 4;
    arg.a = a; arg.b = b;
    int number = seccomp_syscall_resolve_name(name);
    if (number == -1) continue;
    if ((r = seccomp_rule_add_array(ctx, action, number, count, &arg)) < 0) { fprintf(stderr, "%s: %d\\n", name, r); return 5; }
  }
  return seccomp_export_bpf(ctx, 1) ? 6 : 0;
}`;
const NEWEST_OF_LIBSECCOMP = 456;
const MACHINES = { amd64: 0xc000003e, i386: 0x40000003 } as const;
const ACTIONS: Readonly<Record<string, (errno: number) => number>> = {
  SCMP_ACT_ALLOW: () => 0x7fff0000,
  SCMP_ACT_ERRNO: (errno) => 0x00050000 + errno,
};
const OPERATORS = ['', 'NE', 'LT', 'LE', 'EQ', 'GE', 'GT', 'MASKED_EQ'].map((o) => `SCMP_CMP_${o}`);

function referenceText(p: OciSeccomp): string {
  const action = (name: string, errno = 1): number => ACTIONS[name]?.(errno) ?? Number.NaN;
  const lines = [`${action(p.defaultAction, p.defaultErrnoRet)}`, `arch ${MACHINES.i386}`];
  for (const rule of p.syscalls ?? [])
    for (const name of rule.names) {
      const a = rule.args?.[0];
      const shown =
        a === undefined ? '0 0 0 0 0' : `1 ${a.index} ${OPERATORS.indexOf(a.op)} ${a.value} ${a.valueTwo ?? 0}`;
      lines.push(`${name} ${action(rule.action, rule.errnoRet)} ${shown}`);
    }
  return lines.join('\n');
}

describe.skipIf(arch() !== 'x64')('the filter beside that of libseccomp (amd64)', () => {
  const folder = mkdtempSync(join(tmpdir(), 'berth-seccomp-'));
  const reference = (p: OciSeccomp): Buffer =>
    execFileSync(join(folder, 'reference'), { input: referenceText(p), maxBuffer: 1 << 20 });
  beforeAll(() => {
    writeFileSync(join(folder, 'reference.c'), REFERENCE);
    execFileSync('gcc', ['-o', join(folder, 'reference'), join(folder, 'reference.c'), '-l:libseccomp.so.2']);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** Those that rules look at, with neighbours, single bits, and the upper half set. */
  const values = [0n, 1n, 7n, 8n, 9n, 16n, 17n, 39n, 40n, 41n, 63n, 0x20000n, 0x20008n, 0x40000n, 0xffffffffn]
    .concat(Array.from({ length: 64 }, (_, i) => 1n << BigInt(i)))
    .flatMap((v) => [v, v | (1n << 32n), v | 0x7e020000n]);

  test.each([
    [[]],
    [['CAP_SYS_ADMIN']],
    [['CAP_SYS_CHROOT', 'CAP_SYS_PTRACE', 'CAP_SYS_NICE']],
    [SECCOMP_CAPABILITIES],
  ])('the same answer to every call with every argument, with %j', (capabilities) => {
    const profile = runtimeDefaultSeccomp(capabilities, 'x64');
    const [own, theirs] = [compileSeccomp(profile), reference(profile)];
    const ruled = new Set((profile.syscalls ?? []).filter((r) => r.args !== undefined).flatMap((r) => r.names));
    const different: string[] = [];
    let asked = 0;
    for (const [machine, architecture] of Object.entries(MACHINES))
      for (const [name, number] of Object.entries(SYSCALLS[machine as keyof typeof MACHINES])) {
        if (number > NEWEST_OF_LIBSECCOMP) continue;
        /* A 32-bit program's arguments have no upper half. */
        const all = machine === 'i386' ? values.filter((v) => v <= 0xffffffffn) : values;
        for (const value of ruled.has(name) ? all : [0n, 1n << 40n]) {
          asked++;
          const call = { architecture, number, args: [value] };
          const [a, b] = [answerText(runFilter(own, call)), answerText(runFilter(theirs, call))];
          if (a !== b) different.push(`${machine} ${name}(${value}): ${a}, libseccomp ${b}`);
        }
      }
    expect(different).toEqual([]);
    expect(asked).toBeGreaterThan(1500);
  });
});

for (const program of ['crun', 'runc'])
  describe(`isolation on ${program}`, () => {
    let h: RuntimeHost;
    let profiles: string;
    beforeEach(async () => {
      h = await RuntimeHost.open(program);
      profiles = join(h.folder, 'seccomp');
      mkdirSync(profiles);
    });
    afterEach(async () => {
      await h.close();
    });

    /** As the pod's worker makes it: the plain specification, then `isolate`. */
    const container = async (
      script: string,
      security: object = {},
      o: { pod?: object; bounding?: readonly string[] } = {},
    ): Promise<StartContainer> => {
      const plain = h.container(['sh', '-c', script]);
      const all = [...plain.spec.process.capabilities.bounding, ...(o.bounding ?? [])];
      const process = {
        ...plain.spec.process,
        capabilities: { bounding: all, effective: all, permitted: all, inheritable: [], ambient: [] },
      };
      const host = { appArmor: false, seLinux: false, architecture: arch(), maskedPaths: [], capabilities: [] };
      const settings = defaultIsolation({ seccompFolder: profiles, host });
      const pod = {
        spec: { containers: [], securityContext: o.pod ?? {} },
        metadata: { name: 'p' },
      } as unknown as PodObject;
      const spec = { name: 'c', securityContext: security } as ContainerSpec;
      /* runc takes the rules for its own devices from this list, as soon as there is a list of devices. */
      const resources = { ...plain.spec.linux.resources, devices: [{ allow: true, access: 'rwm' }] };
      const oci = { ...plain.spec, process, linux: { ...plain.spec.linux, resources } };
      return { ...plain, spec: await isolate(oci, { pod, container: spec }, settings) };
    };
    const run = async (o: StartContainer): Promise<string[]> => {
      await h.runtime.start(o, h.c);
      await h.exited(o.id);
      return h.log(o);
    };
    const STATUS = 'while read k v; do case $k in Seccomp:|NoNewPrivs:) echo $k$v;; esac; done </proc/self/status';
    const shown = (lines: string[]): string => lines.map((l) => l.replace(/^stdout F /, '')).join(' ');

    test('by default: filter and no_new_privs, also in what is exec’d', async () => {
      const o = await container(`${STATUS}; unshare -U true 2>&1 || echo denied; sleep 1000`);
      await h.runtime.start(o, h.c);
      const [code, out] = await h.exec(o.id, { argv: ['sh', '-c', `${STATUS}; unshare -m true || echo denied`] });
      expect([code, out.trim().split('\n')]).toEqual([0, ['NoNewPrivs:1', 'Seccomp:2', 'denied']]);
      expect(shown(h.log(o))).toMatch(/^NoNewPrivs:1 Seccomp:2 .*denied$/);
    });

    test('Unconfined, and whoever is privileged, has no filter', async () => {
      expect(shown(await run(await container(STATUS, { seccompProfile: { type: 'Unconfined' } })))).toBe(
        'NoNewPrivs:1 Seccomp:0',
      );
      expect(shown(await run(await container(STATUS, { privileged: true })))).toBe('NoNewPrivs:0 Seccomp:0');
    });

    test('the container’s profile comes before the pod’s', async () => {
      const pod = { seccompProfile: { type: 'Unconfined' } };
      expect(shown(await run(await container(STATUS, {}, { pod })))).toContain('Seccomp:0');
      const own = { seccompProfile: { type: 'RuntimeDefault' } };
      expect(shown(await run(await container(STATUS, own, { pod })))).toContain('Seccomp:2');
    });

    test('the filter is in force without no_new_privs too, for a program without capabilities', async () => {
      const o = await container(`${STATUS}; unshare -U true 2>&1 || echo denied`, { allowPrivilegeEscalation: true });
      o.spec.process.user = { uid: 1000, gid: 1000 };
      o.spec.process.capabilities.effective = [];
      o.spec.process.capabilities.permitted = [];
      expect(shown(await run(o))).toMatch(/^NoNewPrivs:0 Seccomp:2 .*denied$/);
    });

    test('one that an agent finds running without the filter it is to have is ended', async () => {
      const o = await container('sleep 1000', { privileged: true });
      const confined = await container('sleep 1000');
      await h.runtime.start(o, h.c);
      await h.runtime.start(confined, h.c);
      const path = join(h.containers, o.id, 'config.json');
      const spec = JSON.parse(readFileSync(path, 'utf8')) as OciSpec;
      const seccomp = { defaultAction: 'SCMP_ACT_ALLOW' };
      writeFileSync(path, JSON.stringify({ ...spec, linux: { ...spec.linux, seccomp } }));
      await h.restartAgent();
      await expect.poll(async () => (await h.runtime.state(o.id, h.c))?.phase).toBe('exited');
      expect((await h.runtime.state(confined.id, h.c))?.phase).toBe('running');
      for (const { id } of [o, confined]) await h.runtime.remove(id, h.c);
    });

    test('a capability opens the calls that belong to it', async () => {
      const script = 'mkdir -p /tmp/m && mount -t tmpfs none /tmp/m && echo mounted; umount /tmp/m';
      const admin = await container(script, { capabilities: { add: ['SYS_ADMIN'] } }, { bounding: ['CAP_SYS_ADMIN'] });
      expect(shown(await run(admin))).toBe('mounted');
      const plain = await container(`${script} 2>&1 | head -1`);
      expect(shown(await run(plain))).toContain('not permitted');
    });

    test('a Localhost profile is in force, nested ones too; who names one that is absent or wrong is told', async () => {
      mkdirSync(join(profiles, 'team'));
      const rules = [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO', errnoRet: 5 }];
      writeFileSync(
        join(profiles, 'team/no-mkdir.json'),
        JSON.stringify({ defaultAction: 'SCMP_ACT_ALLOW', syscalls: rules }),
      );
      const profile = (localhostProfile: string): object => ({
        seccompProfile: { type: 'Localhost', localhostProfile },
      });
      const o = await container('mkdir /tmp/x 2>&1; true', profile('team/no-mkdir.json'));
      expect(shown(await run(o))).toContain('Input/output error');
      await expect(container('true', profile('none.json'))).rejects.toThrow(/failed to load seccomp profile .*ENOENT/);
      writeFileSync(join(profiles, 'bad.json'), JSON.stringify({ defaultAction: 'ALLOW' }));
      await expect(container('true', profile('bad.json'))).rejects.toThrow(/defaultAction: must be one of/);
      await expect(container('true', profile('../bad.json'))).rejects.toThrow(/below the node's folder/);
    });
  });
