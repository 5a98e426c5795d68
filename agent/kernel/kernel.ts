/**
 * The one door to the Linux kernel, as role ports. Everything privileged (other programs, mounts, namespaces, cgroups,
 * links, packet filter, writes below /proc and /sys) goes through these; agent/kernel/linux implements them on top of the
 * long-lived native helper (agent/native), because Node's own spawn blocks its event loop for 5-19 ms and Node has no
 * mount, setns or openat2. Every call is idempotent where the kernel allows it: making what exists and removing what is
 * gone succeed.
 */
import type { Duplex } from 'node:stream';
import type { Ctx, Digest } from '#lib/base';

export interface ProgramResult {
  /** Exit code, or 128 + signal. */
  readonly code: number;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
}

export interface Programs {
  /**
   * Runs a program to its end. argv[0] is looked up in PATH. Output above 1 MiB is cut. On abort or time-out the program
   * is killed and the call throws Cancelled or DeadlineExceeded. `netns`: path of a network namespace to run in.
   */
  run(
    argv: readonly string[],
    o: {
      stdin?: string | Buffer;
      env?: Readonly<Record<string, string>>;
      cwd?: string;
      netns?: string;
      timeoutMs?: number;
    },
    c: Ctx,
  ): Promise<ProgramResult>;
}

export interface OverlayMount {
  /** Upper-most first, as overlayfs' lowerdir. */
  readonly lower: readonly string[];
  readonly upper: string;
  readonly work: string;
  readonly target: string;
  /** The lower folders' ids are those inside a pinned user namespace; needs an empty folder `staging` (made) for the call. */
  readonly mapped?: { readonly userNamespace: string; readonly staging: string } | undefined;
}

export interface Mounts {
  overlay(m: OverlayMount, c: Ctx): Promise<void>;
  bind(source: string, target: string, o: { readOnly?: boolean; recursive?: boolean }, c: Ctx): Promise<void>;
  tmpfs(target: string, o: { sizeBytes?: number; mode?: number }, c: Ctx): Promise<void>;
  /** Unmounts target (not below it); gone is fine. Falls back to a lazy unmount only when busy. */
  unmount(target: string, c: Ctx): Promise<void>;
  /** Mount points at or below `prefix`, deepest first. */
  below(prefix: string, c: Ctx): Promise<readonly string[]>;
}

export type PinnedNamespace = 'net' | 'ipc' | 'uts';

export interface Namespaces {
  /**
   * Creates new namespaces and pins them by bind mounts at `folder/net`, `folder/ipc`, `folder/uts` (loopback is up, the
   * host name set, sysctls written inside; Invalid for one that is not of these namespaces). Existing pins are kept.
   */
  pin(
    folder: string,
    o: { kinds: readonly PinnedNamespace[]; hostname?: string; sysctls?: Readonly<Record<string, string>> },
    c: Ctx,
  ): Promise<void>;
  /**
   * A user namespace, pinned as `folder`/user, whose ids 0 to count-1 are first to first+count-1 outside, and new namespaces of
   * these kinds that belong to it. Before `pin`, which keeps them. Existing pins are kept; AlreadyExists for one of another range.
   */
  pinUser(
    folder: string,
    o: { kinds: readonly PinnedNamespace[]; ids: { readonly first: number; readonly count: number } },
    c: Ctx,
  ): Promise<void>;
  /**
   * A process namespace for all containers of a pod, pinned as `folder`/pid: its PID 1 reaps orphans, is in `cgroup` (which
   * must exist; its removal ends it) and in what is pinned in `folder`. A living one is kept, a dead one is replaced.
   */
  pinProcesses(folder: string, o: { cgroup: string }, c: Ctx): Promise<void>;
  /** A connection to the first of `addresses` that takes one, in the network namespace `netns` ('' = the node's). */
  dial(netns: string, o: { addresses: readonly string[]; port: number }, c: Ctx): Promise<Duplex>;
  /** Unmounts and removes the pins; gone is fine. */
  unpin(folder: string, c: Ctx): Promise<void>;
}

/** 'max': no limit. */
export type CgroupAmount = number | 'max';

/** Limits of a cgroup; absent = left as it is, which is unlimited for a new one. */
export interface CgroupLimits {
  /** cpu.shares (v1); converted to cpu.weight on v2. 2..262144 */
  readonly cpuShares?: number | undefined;
  /** Microseconds per 100 ms period. */
  readonly cpuQuotaUs?: CgroupAmount | undefined;
  readonly memoryBytes?: CgroupAmount | undefined;
  /** Swap beside the memory; v1 knows it only together with `memoryBytes`. */
  readonly swapBytes?: CgroupAmount | undefined;
  readonly pids?: CgroupAmount | undefined;
  /** By the kernel's names of page sizes: 2MB, 1GB. */
  readonly hugePages?: Readonly<Record<string, CgroupAmount>> | undefined;
  /** CPUs that it may run on, as a list: `0-3,8`. */
  readonly cpus?: string | undefined;
  /** NUMA nodes whose memory it may use, as a list. */
  readonly memoryNodes?: string | undefined;
  /** What the kernel leaves it when memory is short: memory.soft_limit_in_bytes (v1), memory.low (v2). */
  readonly memoryReservationBytes?: number | undefined;
  /** blkio.weight (v1), where the kernel has it. 10..1000 */
  readonly blockWeight?: number | undefined;
  /** v2: who goes over the memory limit dies with all of its cgroup. */
  readonly oomGroup?: boolean | undefined;
}

export interface CgroupFacts {
  /** Swap can be limited. */
  readonly hasSwap: boolean;
  /** Sizes of huge pages that can be limited, by the kernel's names; none without the controller. */
  readonly pageSizes: readonly string[];
}

export interface CgroupUsage {
  readonly cpuNs: number;
  readonly memoryBytes: number;
  /** memory minus inactive file pages. */
  readonly workingSetBytes: number;
  readonly pids: number;
  readonly oomKills: number;
}

export interface Cgroups {
  /** v1, v2 or hybrid (v1 controllers with a v2 mount that has none of ours). */
  readonly version: 'v1' | 'v2' | 'hybrid';
  readonly facts: CgroupFacts;
  /** `path` begins with '/', relative to the mount of each controller: `/berth/pod<uid>`. */
  ensure(path: string, limits: CgroupLimits, c: Ctx): Promise<void>;
  /** Of one that is there: NotFound when it is gone, Conflict when it uses more memory than it may and cannot give it back. */
  set(path: string, limits: CgroupLimits, c: Ctx): Promise<void>;
  usage(path: string, c: Ctx): Promise<CgroupUsage | undefined>;
  /** Of many at once, by path; those that are gone are left out. OOM kills are counted with those of cgroups below. */
  usages(paths: readonly string[], c: Ctx): Promise<ReadonlyMap<string, CgroupUsage>>;
  /** A hint: within some 20 ms a process is going to be moved into a cgroup. Returns at once, never fails. */
  expectMove(): void;
  /** Kills what is left inside and removes the tree; gone is fine. */
  remove(path: string, c: Ctx): Promise<void>;
  /** Child cgroups directly below `path`. */
  children(path: string, c: Ctx): Promise<readonly string[]>;
}

export interface Freezer {
  /** Returns when all processes of the cgroup, and of those below it, stand still. Throws Conflict when it is gone. */
  freeze(cgroup: string, c: Ctx): Promise<void>;
  /** Gone is fine: v2 lets the frozen be killed. */
  thaw(cgroup: string, c: Ctx): Promise<void>;
  /** False too when it is gone. */
  isFrozen(cgroup: string, c: Ctx): Promise<boolean>;
}

export interface LayerToUnpack {
  readonly root: string;
  readonly input: NodeJS.ReadableStream;
  /** What it may take of the disk. Default: all. */
  readonly bytesMax?: number | undefined;
  readonly entriesMax?: number | undefined;
}

export interface BlobToUnpack {
  readonly root: string;
  readonly path: string;
  /** A layer that unpacks to more is refused as a full disk would. */
  readonly bytesMax: number;
  readonly entriesMax: number;
}

export interface FolderToPack {
  readonly root: string;
  readonly file: string;
  /** An overlay's upper folder: its whiteouts and opaque folders become those of a layer. */
  readonly overlay: boolean;
  /** Others may be changing it: what vanishes meanwhile is left out. Default false. */
  readonly live?: boolean | undefined;
  /** No mtime is later: SOURCE_DATE_EPOCH. */
  readonly latestMs?: number | undefined;
}

export interface PackedFolder {
  readonly entries: number;
  /** Of the tar. */
  readonly bytes: number;
  readonly digest: Digest;
}

export interface UnpackedBlob {
  readonly entries: number;
  readonly bytes: number;
  /** Of the uncompressed bytes. */
  readonly diffId: Digest;
}

export interface Kernel extends AsyncDisposable {
  readonly programs: Programs;
  readonly mounts: Mounts;
  readonly namespaces: Namespaces;
  readonly cgroups: Cgroups;
  /** Makes an uncompressed layer tar appear below `root`: see agent/native/unpack.c. Resolves with entry and byte counts. Not synced. */
  unpackLayer(o: LayerToUnpack, c: Ctx): Promise<{ entries: number; bytes: number }>;
  /** The same for a stored blob, plain or gzip, read, hashed and decompressed by the helper. */
  unpackBlob(o: BlobToUnpack, c: Ctx): Promise<UnpackedBlob>;
  /** A folder as a tar file (agent/native/pack.c); `file` is replaced, and gone after a failure. Not synced. */
  packFolder(o: FolderToPack, c: Ctx): Promise<PackedFolder>;
  /** Everything written to the file system of `path` before this call is on disk when it returns. */
  syncFileSystem(path: string, c: Ctx): Promise<void>;
  /** Gives a folder and all below it to a group, readable and writable for it; follows no link: see agent/native/own.c. */
  ownTree(path: string, groupId: number, c: Ctx): Promise<void>;
  /** Removes a tree without following links or crossing mounts; gone is fine. */
  removeTree(path: string, c: Ctx): Promise<void>;
}
