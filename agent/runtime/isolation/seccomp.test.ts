import { describe, expect, test } from 'vitest';
import { SYSCALLS } from './gen/syscalls.ts';
import { compileSeccomp, type Machine } from './seccomp-bpf.ts';
import { runtimeDefaultSeccomp, SECCOMP_CAPABILITIES } from './seccomp-default.ts';
import { answerText, runFilter } from './testing/bpf.ts';

const ARCHITECTURES: Record<Machine, number> = {
  amd64: 0xc000003e,
  i386: 0x40000003,
  arm64: 0xc00000b7,
  arm: 0x40000028,
};

function asker(
  capabilities: readonly string[],
  host = 'x64',
): (m: Machine, name: string | number, ...a: bigint[]) => string {
  const program = compileSeccomp(runtimeDefaultSeccomp(capabilities, host));
  return (machine, name, ...args) => {
    const numbers: Readonly<Record<string, number>> = SYSCALLS[machine];
    const number = typeof name === 'number' ? name : numbers[name];
    if (number === undefined) throw new Error(`${machine} has no ${name}`);
    return answerText(runFilter(program, { architecture: ARCHITECTURES[machine], number, args }));
  };
}

describe('seccomp RuntimeDefault', () => {
  const plain = asker(['CAP_SYS_CHROOT', 'CAP_NET_RAW']);

  test('what programs live on is allowed, on both architectures of a host', () => {
    for (const name of ['read', 'openat', 'execve', 'mmap', 'futex', 'clone', 'rseq', 'ptrace', 'chroot', 'statx'])
      expect([name, plain('amd64', name), plain('i386', name)]).toEqual([name, 'allow', 'allow']);
    const arm = asker([], 'arm64');
    expect([arm('arm64', 'read'), arm('arm', 'set_tls'), arm('arm64', 'mount')]).toEqual(['allow', 'allow', 'errno 1']);
  });

  test.each(
    'mount umount2 setns unshare pivot_root keyctl add_key request_key bpf perf_event_open kexec_load init_module userfaultfd io_uring_setup io_uring_enter open_by_handle_at reboot swapon settimeofday syslog iopl move_mount fsopen kcmp sethostname acct'.split(
      ' ',
    ),
  )('%s is denied without its capability', (name) => {
    expect(plain('amd64', name)).toBe('errno 1');
  });

  test('a capability gives back what it stands for and nothing else', () => {
    const with_ = (c: string): ReturnType<typeof asker> => asker([c]);
    expect(with_('CAP_SYS_ADMIN')('amd64', 'mount')).toBe('allow');
    expect(with_('CAP_SYS_ADMIN')('amd64', 'clone3')).toBe('allow');
    expect(with_('CAP_SYS_ADMIN')('amd64', 'reboot')).toBe('errno 1');
    expect(with_('CAP_SYS_TIME')('i386', 'clock_settime64')).toBe('allow');
    expect(with_('CAP_BPF')('amd64', 'bpf')).toBe('allow');
    for (const c of SECCOMP_CAPABILITIES) expect([c, with_(c)('amd64', 'kexec_load')]).toEqual([c, 'errno 1']);
  });

  test('clone may not make namespaces, clone3 is as if the kernel had none', () => {
    const CLONE_NEWUSER = 0x10000000n;
    expect(plain('amd64', 'clone', 0x11n)).toBe('allow');
    expect(plain('amd64', 'clone', CLONE_NEWUSER | 0x11n)).toBe('errno 1');
    expect(plain('amd64', 'clone', (1n << 40n) | CLONE_NEWUSER)).toBe('errno 1');
    expect(asker(['CAP_SYS_ADMIN'])('amd64', 'clone', CLONE_NEWUSER)).toBe('allow');
    expect(plain('amd64', 'clone3')).toBe('errno 38');
  });

  test('sockets of every family but vsock, whatever the upper half of the argument says', () => {
    for (let family = 0n; family < 64n; family++)
      for (const upper of [0n, 1n << 32n, 0xdeadbeefn << 32n])
        expect([family, plain('amd64', 'socket', upper | family)]).toEqual([
          family,
          family === 40n ? 'errno 1' : 'allow',
        ]);
  });

  test('personality: only those that change no addresses', () => {
    const ADDR_NO_RANDOMIZE = 0x40000n;
    expect(['0', '8', '131072', '131080', '4294967295'].map((p) => plain('amd64', 'personality', BigInt(p)))).toEqual(
      Array(5).fill('allow'),
    );
    expect(plain('amd64', 'personality', ADDR_NO_RANDOMIZE)).toBe('errno 1');
    expect(plain('amd64', 'personality', 1n << 32n)).toBe('errno 1');
  });

  test('a call that is newer than the table, or of x32, is not there; another architecture is killed', () => {
    expect(plain('amd64', 470)).toBe('errno 38');
    expect(plain('amd64', 0x40000000 + 59)).toBe('errno 38');
    expect(plain('amd64', 400)).toBe('errno 1');
    expect(asker([], 'arm64')('arm', 1000)).toBe('errno 38');
    expect(asker([], 'arm64')('arm', 0xf0100)).toBe('errno 38');
    expect(plain('arm64', 'read')).toBe('kill');
  });

  test('on an architecture without a table the profile names calls and leaves numbers to the runtime', () => {
    const profile = runtimeDefaultSeccomp([], 's390x');
    expect(profile.architectures).toBeUndefined();
    expect(profile.syscalls?.[0]?.names).toContain('openat');
    expect(profile.syscalls?.[0]?.names).not.toContain('mount');
  });
});
