import { describe, expect, test } from 'vitest';
import { FakeNode, fakePod } from '../pods/fake-node.ts';
import { dottedSysctl, safeSysctls, sysctlRefusal, unsafeSysctlMistake } from './sysctls.ts';

const pod = (names: readonly string[], spec: object = {}): ReturnType<typeof fakePod> =>
  fakePod({ securityContext: { sysctls: names.map((name) => ({ name, value: '1' })) }, ...spec } as never);

describe('sysctls of pods', () => {
  test('the safe ones pass, written with dots or slashes; others are not allowlisted', () => {
    const refusal = (name: string): string | undefined => sysctlRefusal(pod([name]), [], '6.1.0-9-amd64');
    expect(refusal('kernel.shm_rmid_forced')).toBeUndefined();
    expect(refusal('net/ipv4/tcp_rmem')).toBeUndefined();
    expect(refusal('kernel.msgmax')).toBe('forbidden sysctl: "kernel.msgmax" not allowlisted');
    expect(refusal('kernel/core_pattern')).toBe('forbidden sysctl: "kernel.core_pattern" not allowlisted');
    expect(refusal('net.core.somaxconn')).toContain('not allowlisted');
  });

  test('a kernel whose sysctl is the whole machine’s does not have it among the safe ones', () => {
    expect(safeSysctls('4.4.0-generic')).not.toContain('net.ipv4.tcp_fin_timeout');
    expect(safeSysctls('4.15.0')).toContain('net.ipv4.tcp_rmem');
    expect(safeSysctls('no number')).toHaveLength(5);
  });

  test('what the administrator allows passes, but not in the host’s namespace', () => {
    const allowed = ['net.core.*', 'kernel.msg*', 'fs.mqueue.msg_max'];
    const of = (name: string, spec: object): string | undefined => sysctlRefusal(pod([name], spec), allowed, '6.1.0');
    expect(of('net.core.somaxconn', {})).toBeUndefined();
    expect(of('kernel.msgmax', {})).toBeUndefined();
    expect(of('fs.mqueue.msg_max', {})).toBeUndefined();
    expect(of('fs.mqueue.msgsize_max', {})).toContain('not allowlisted');
    expect(of('net.core.somaxconn', { hostNetwork: true })).toBe(
      'forbidden sysctl: "net.core.somaxconn" not allowed with host Net enabled',
    );
    expect(of('kernel.msgmax', { hostIPC: true })).toContain('not allowed with host IPC enabled');
    expect(of('kernel.shm_rmid_forced', { hostIPC: true })).toContain('not allowed with host IPC enabled');
  });

  test('a setting that names a sysctl of the whole machine is a mistake', () => {
    expect(unsafeSysctlMistake('net.ipv4.*')).toBeUndefined();
    expect(unsafeSysctlMistake('kernel.core_pattern')).toContain('not known to be namespaced');
    expect(unsafeSysctlMistake('vm.*')).toContain('not known to be namespaced');
    expect(unsafeSysctlMistake('*')).toContain('not known to be namespaced');
    expect(unsafeSysctlMistake('net.*.x')).toContain('no name');
    expect(unsafeSysctlMistake('net..a')).toContain('no name');
  });

  test('dots and slashes change places by the first of them (sysctl.d)', () => {
    expect(dottedSysctl('net/ipv4/conf/eth0.1/x')).toBe('net.ipv4.conf.eth0/1.x');
    expect(dottedSysctl('net.ipv4.conf.eth0/1.x')).toBe('net.ipv4.conf.eth0/1.x');
  });
});

describe('a pod that the node refuses', () => {
  test.each([
    ['SysctlForbidden', pod(['kernel.msgmax']), 'forbidden sysctl: "kernel.msgmax" not allowlisted'],
    [
      'AppArmor',
      fakePod({ securityContext: { appArmorProfile: { type: 'Localhost', localhostProfile: 'x' } } } as never),
      'Cannot enforce AppArmor: AppArmor is not enabled on the host',
    ],
  ])('%s: fails at once with the kubelet’s words, and nothing is made for it', async (reason, refused, why) => {
    await using node = await FakeNode.make();
    const agent = await node.agent();
    agent.want(refused);
    await node.until(() => node.status('u')?.phase === 'Failed', 'Failed');
    expect(node.status('u')).toMatchObject({ reason, message: `Pod was rejected: ${why}` });
    expect(node.events).toContainEqual({ reason, message: why });
    expect(node.running).toEqual([]);
    expect(node.kernel.pinned.size).toBe(0);
    expect([...node.kernel.groups.keys()].filter((g) => g.includes('pod'))).toEqual([]);
  });

  test('one that has run before is not asked again', async () => {
    await using node = await FakeNode.make();
    const agent = await node.agent();
    agent.want({ ...pod(['kernel.msgmax']), status: { phase: 'Running' } } as never);
    await node.until(() => node.running.length === 1, 'it runs');
  });
});
