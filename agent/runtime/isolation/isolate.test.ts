import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { OciSpec } from '../oci-spec.ts';
import { isolate } from './isolate.ts';
import { withReadyFilter } from './seccomp.ts';
import { parseSeccompProfile } from './seccomp-profile.ts';
import { seLinuxLabelOf } from './selinux.ts';
import { defaultIsolation, type IsolationSettings } from './settings.ts';

const host = { appArmor: false, seLinux: false, architecture: 'x64', maskedPaths: ['/sys/x'], capabilities: [] };
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-isolate-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function made(security: object, o: { pod?: object; settings?: Partial<IsolationSettings> } = {}): Promise<OciSpec> {
  const bounding = ['CAP_CHOWN'];
  const capabilities = { bounding, effective: bounding, permitted: bounding };
  const spec = {
    process: { capabilities, noNewPrivileges: true },
    linux: { maskedPaths: ['/proc/kcore'], capabilities: [] },
  } as unknown as OciSpec;
  const pod = { metadata: {}, spec: { containers: [], securityContext: o.pod } } as never;
  const settings = { ...defaultIsolation({ seccompFolder: folder, host }), ...o.settings };
  return isolate(spec, { pod, container: { name: 'c', securityContext: security } as never }, settings);
}

describe('isolate', () => {
  test.each([
    ['says nothing', {}, {}, true],
    ['says nothing, on a node that allows it', {}, { defaultAllowPrivilegeEscalation: true }, false],
    ['says false on such a node', { allowPrivilegeEscalation: false }, { defaultAllowPrivilegeEscalation: true }, true],
    ['says true', { allowPrivilegeEscalation: true }, {}, false],
    ['is privileged', { privileged: true }, {}, false],
    ['has CAP_SYS_ADMIN', { capabilities: { add: ['CAP_SYS_ADMIN'] } }, {}, false],
    ['has all capabilities', { capabilities: { add: ['ALL'] } }, {}, false],
    ['has another capability', { capabilities: { add: ['NET_ADMIN'] } }, {}, true],
  ])('no_new_privs of a container that %s', async (_, security, settings, wanted) => {
    expect((await made(security, { settings })).process.noNewPrivileges).toBe(wanted);
  });

  test('seccomp: RuntimeDefault unless the container, the pod or the node says otherwise', async () => {
    const action = async (...a: Parameters<typeof made>): Promise<string | undefined> =>
      (await made(...a)).linux.seccomp?.defaultAction;
    const unconfined = { seccompProfile: { type: 'Unconfined' } };
    const runtimeDefault = { seccompProfile: { type: 'RuntimeDefault' } };
    expect(await action({})).toBe('SCMP_ACT_ERRNO');
    expect(await action({}, { pod: unconfined })).toBeUndefined();
    expect(await action(runtimeDefault, { pod: unconfined })).toBe('SCMP_ACT_ERRNO');
    expect(await action({ ...runtimeDefault, privileged: true })).toBeUndefined();
    expect(await action({}, { settings: { seccompDefault: false } })).toBeUndefined();
    expect(await action(runtimeDefault, { settings: { seccompDefault: false } })).toBe('SCMP_ACT_ERRNO');
  });

  test('crun gets the default filter ready made, a Localhost profile as it is', async () => {
    const own = withReadyFilter(await made({}));
    expect(own.linux.seccomp).toBeUndefined();
    expect(Buffer.from(own.annotations?.['run.oci.seccomp_bpf_data'] ?? '', 'base64').length % 8).toBe(0);
    await writeFile(join(folder, 'a.json'), '{"defaultAction":"SCMP_ACT_LOG"}');
    const profile = { seccompProfile: { type: 'Localhost', localhostProfile: 'a.json' } };
    const localhost = withReadyFilter(await made(profile));
    expect([localhost.linux.seccomp, localhost.annotations]).toEqual([{ defaultAction: 'SCMP_ACT_LOG' }, undefined]);
  });

  test.each(['../a.json', '/etc/passwd', 'a/../../b', ''])('no Localhost profile is read at %j', async (name) => {
    const profile = { seccompProfile: { type: 'Localhost', localhostProfile: name } };
    await expect(made(profile)).rejects.toMatchObject({ kind: 'Invalid' });
  });

  test('what this host lets leak is masked too, where anything is', async () => {
    expect((await made({})).linux.maskedPaths).toEqual(['/proc/kcore', '/sys/x']);
  });

  test('all capabilities are those that the agent has; one by name is the runtime’s to refuse', async () => {
    const held = { host: { ...host, capabilities: ['CAP_KILL'] } };
    const bounding = async (security: object): Promise<string[]> =>
      (await made(security, { settings: held })).process.capabilities.bounding;
    expect(await bounding({ privileged: true })).toEqual([]);
    expect(await bounding({ capabilities: { add: ['ALL', 'CHOWN'] } })).toEqual(['CAP_CHOWN']);
    expect(await bounding({})).toEqual(['CAP_CHOWN']);
  });

  test('SELinux labels: only where it is on and options are given; the container’s come first', () => {
    const pod = { spec: { containers: [], securityContext: { seLinuxOptions: { level: 's0:c1' } } } } as never;
    const container = (o?: object): never => ({ name: 'c', securityContext: { seLinuxOptions: o } }) as never;
    expect(seLinuxLabelOf(pod, container(), { seLinux: false })).toBeUndefined();
    expect(seLinuxLabelOf(pod, container(), { seLinux: true })).toEqual({
      process: 'system_u:system_r:container_t:s0:c1',
      mount: 'system_u:object_r:container_file_t:s0:c1',
    });
    expect(seLinuxLabelOf(pod, container({ type: 't', level: 's0' }), { seLinux: true })?.process).toBe(
      'system_u:system_r:t:s0',
    );
    expect(seLinuxLabelOf({ spec: { containers: [] } } as never, container(), { seLinux: true })).toBeUndefined();
  });
});

describe('a seccomp profile from a file', () => {
  test('is taken as it is, without what the specification does not know', () => {
    const text = JSON.stringify({
      defaultAction: 'SCMP_ACT_ERRNO',
      defaultErrnoRet: 38,
      architectures: ['SCMP_ARCH_X86_64'],
      archMap: [],
      syscalls: [
        {
          names: ['socket'],
          action: 'SCMP_ACT_ALLOW',
          comment: 'x',
          args: [{ index: 0, value: 255, valueTwo: 1, op: 'SCMP_CMP_MASKED_EQ' }],
        },
      ],
    });
    expect(parseSeccompProfile(text)).toEqual({
      defaultAction: 'SCMP_ACT_ERRNO',
      defaultErrnoRet: 38,
      architectures: ['SCMP_ARCH_X86_64'],
      syscalls: [
        {
          names: ['socket'],
          action: 'SCMP_ACT_ALLOW',
          args: [{ index: 0, value: 255, valueTwo: 1, op: 'SCMP_CMP_MASKED_EQ' }],
        },
      ],
    });
  });

  const rule = (o: object): object => ({ names: ['a'], action: 'SCMP_ACT_ALLOW', ...o });
  const arg = (o: object): object => rule({ args: [{ index: 0, value: 1, op: 'SCMP_CMP_EQ', ...o }] });
  test.each<[string, unknown]>([
    ['must be an object', []],
    ['defaultAction', {}],
    ['defaultAction', { defaultAction: 'SCMP_ACT_NOTIFY' }],
    ['syscalls: must be a list', { syscalls: {} }],
    ['syscalls[0].names', { syscalls: [{ action: 'SCMP_ACT_ALLOW' }] }],
    ['syscalls[0].names: must have', { syscalls: [rule({ names: [] })] }],
    ['syscalls[0].action', { syscalls: [rule({ action: 'ALLOW' })] }],
    ['syscalls[0].errnoRet', { syscalls: [rule({ errnoRet: 5000 })] }],
    ['syscalls[0].args[0].index', { syscalls: [arg({ index: 6 })] }],
    ['syscalls[0].args[0].value', { syscalls: [arg({ value: 2 ** 60 })] }],
    ['syscalls[0].args[0].op', { syscalls: [arg({ op: 'EQ' })] }],
  ])('%s: what is wrong is refused, not left out', (message, value) => {
    const profile = Array.isArray(value) ? value : { defaultAction: 'SCMP_ACT_ALLOW', ...(value as object) };
    if (message === 'defaultAction' && Object.keys(value as object).length === 0)
      expect(() => parseSeccompProfile('{}')).toThrow(message);
    else expect(() => parseSeccompProfile(JSON.stringify(profile))).toThrow(message);
  });

  test('no JSON', () => {
    expect(() => parseSeccompProfile('{')).toThrow('it is not JSON');
  });
});
