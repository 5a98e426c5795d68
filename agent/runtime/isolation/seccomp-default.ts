/**
 * The profile RuntimeDefault: the calls a program in a container may make. Pure.
 *
 * A list of what is allowed: every call of gen/syscalls.ts but those named here, which reach what no namespace divides (clock,
 * keys, modules, kernel memory, another's memory), or parts of the kernel where most of its holes were (io_uring, userfaultfd,
 * the making of namespaces and mounts). Some are given back with the capability that the kernel itself asks for them. What is
 * denied gives EPERM, but clone3 ENOSYS: its arguments lie in memory where no filter sees them, and libc then uses clone.
 *
 * The classes are those of Docker's and containerd's default profiles (reference/runtime.md 2), so that an image that runs
 * there runs here. Different: numbers unknown to the table and x32 give ENOSYS, and vsock is denied by the half of the argument
 * that the kernel looks at.
 */
import type { OciSeccomp } from '../oci-spec.ts';
import { SYSCALLS } from './gen/syscalls.ts';
import type { Machine } from './seccomp-bpf.ts';

type Rules = NonNullable<OciSeccomp['syscalls']>;

const words = (text: string): readonly string[] => text.trim().split(/\s+/);

/** Allowed to nobody who is not privileged. */
const NEVER = words(`
  add_key keyctl request_key
  kexec_file_load kexec_load swapoff swapon nfsservctl pivot_root
  io_uring_enter io_uring_register io_uring_setup userfaultfd
  migrate_pages move_pages map_shadow_stack
  _sysctl afs_syscall bdflush break create_module ftime get_kernel_syms getpmsg gtty idle lock mpx prof profil putpmsg query_module
  security stty sysfs tuxcall ulimit uselib ustat vm86 vm86old vserver
  pciconfig_iobase pciconfig_read pciconfig_write subpage_prot rtas
  usr26 usr32`);

/** Allowed with any of these capabilities. */
const WITH_CAPABILITY: readonly { readonly any: readonly string[]; readonly names: readonly string[] }[] = [
  {
    any: ['CAP_SYS_ADMIN'],
    names: words(`fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount open_tree
      open_tree_attr quotactl quotactl_fd setdomainname sethostname setns umount umount2 unshare clone3
      lsm_get_self_attr lsm_list_modules lsm_set_self_attr`),
  },
  { any: ['CAP_SYS_ADMIN', 'CAP_BPF'], names: ['bpf'] },
  { any: ['CAP_SYS_ADMIN', 'CAP_PERFMON'], names: ['perf_event_open'] },
  { any: ['CAP_SYS_ADMIN', 'CAP_SYSLOG'], names: ['syslog'] },
  { any: ['CAP_DAC_READ_SEARCH'], names: ['open_by_handle_at'] },
  { any: ['CAP_SYS_BOOT'], names: ['reboot'] },
  { any: ['CAP_SYS_CHROOT'], names: ['chroot'] },
  { any: ['CAP_SYS_MODULE'], names: words('delete_module finit_module init_module') },
  { any: ['CAP_SYS_NICE'], names: words('get_mempolicy mbind set_mempolicy set_mempolicy_home_node') },
  { any: ['CAP_SYS_PACCT'], names: ['acct'] },
  { any: ['CAP_SYS_PTRACE'], names: words('kcmp pidfd_getfd') },
  { any: ['CAP_SYS_RAWIO'], names: words('ioperm iopl') },
  { any: ['CAP_SYS_TIME'], names: words('clock_settime clock_settime64 settimeofday stime') },
  { any: ['CAP_SYS_TTY_CONFIG'], names: ['vhangup'] },
];

/** Flags of clone that make a namespace: CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET} (linux/sched.h). */
const CLONE_NAMESPACES = 0x7e02_0000;
/** Execution domains of Linux (linux/personality.h): plain, PER_LINUX32, UNAME26, both, and the question which one it is. */
const PERSONALITIES = [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];
const AF_VSOCK = 40;
const FAMILY_BITS = 6;

const MACHINES: Readonly<Record<string, { readonly machines: readonly Machine[]; readonly oci: readonly string[] }>> = {
  x64: { machines: ['amd64', 'i386'], oci: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86'] },
  arm64: { machines: ['arm64', 'arm'], oci: ['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM'] },
};

/** All that makes a difference, so that equal profiles are made once. */
export const SECCOMP_CAPABILITIES: readonly string[] = [...new Set(WITH_CAPABILITY.flatMap((c) => c.any))].sort();

/**
 * For a container whose bounding set is `capabilities`, on `architecture` (as node:os names it). On one that has no table here
 * the runtime's own libseccomp knows the numbers and the names stand for what it has of them.
 */
export function runtimeDefaultSeccomp(capabilities: readonly string[], architecture: string): OciSeccomp {
  const host = MACHINES[architecture];
  const all = (host?.machines ?? (Object.keys(SYSCALLS) as Machine[])).flatMap((m) => Object.keys(SYSCALLS[m]));
  const denied = new Set(NEVER);
  for (const { any, names } of WITH_CAPABILITY)
    if (!any.some((c) => capabilities.includes(c))) for (const name of names) denied.add(name);
  const isAdmin = capabilities.includes('CAP_SYS_ADMIN');
  const ruled = ['personality', 'socket', ...(isAdmin ? [] : ['clone'])];
  const names = [...new Set(all)].filter((n) => !denied.has(n) && !ruled.includes(n)).sort();
  return {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: 1,
    ...(host === undefined ? {} : { architectures: [...host.oci] }),
    syscalls: [{ names, action: 'SCMP_ACT_ALLOW' }, ...argumentRules(isAdmin)],
  };
}

function argumentRules(isAdmin: boolean): Rules {
  const allow = (name: string, value: number, valueTwo?: number): Rules[number] => ({
    names: [name],
    action: 'SCMP_ACT_ALLOW',
    args: [
      valueTwo === undefined
        ? { index: 0, value, op: 'SCMP_CMP_EQ' }
        : { index: 0, value, valueTwo, op: 'SCMP_CMP_MASKED_EQ' },
    ],
  });
  /* The kernel looks at the lower half of the family only, a comparison with "not equal" at both: so one of its bits differs. */
  const above = 0xffff_ffff - (2 ** FAMILY_BITS - 1);
  const families = Array.from({ length: FAMILY_BITS }, (_, i) => {
    const bit = 1 << i;
    return allow('socket', above + bit, ~AF_VSOCK & bit);
  });
  const enosys: Rules[number] = { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: 38 };
  return [
    ...PERSONALITIES.map((p) => allow('personality', p)),
    ...families,
    ...(isAdmin ? [] : [allow('clone', CLONE_NAMESPACES, 0), enosys]),
  ];
}
