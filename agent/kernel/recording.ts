/**
 * A kernel that only remembers: for unit tests of what uses the kernel ports. Every call is noted in `calls` in order;
 * mounts, pins and cgroups are kept so that idempotence and leaks can be asked for; programs answer from a script.
 */
import { PassThrough } from 'node:stream';
import { type Ctx, StatusError, sha256 } from '#lib/base';
import type {
  BlobToUnpack,
  CgroupLimits,
  CgroupUsage,
  FolderToPack,
  Kernel,
  LayerToUnpack,
  OverlayMount,
  PackedFolder,
  ProgramResult,
  Programs,
  UnpackedBlob,
} from './kernel.ts';

export interface RecordedCall {
  /** 'programs.run', 'mounts.overlay', 'namespaces.pin', 'cgroups.ensure', 'removeTree', … */
  readonly name: string;
  readonly args: readonly unknown[];
}

type RunOptions = Parameters<Programs['run']>[1];

export interface RecordingKernelOptions {
  /** Answers of programs; default: success without output. */
  readonly run?: (argv: readonly string[], o: RunOptions) => Partial<ProgramResult> & { text?: string };
  /** Called before each call takes effect; throw here to inject a failure. */
  readonly onCall?: (call: RecordedCall) => void;
  readonly usage?: (path: string) => CgroupUsage;
}

export class RecordingKernel implements Kernel {
  readonly calls: RecordedCall[] = [];
  /** Target to what is mounted there. */
  readonly mounted = new Map<string, { readonly type: string; readonly detail: unknown }>();
  readonly pinned = new Set<string>();
  readonly groups = new Map<string, CgroupLimits>();
  readonly #o: RecordingKernelOptions;

  constructor(o: RecordingKernelOptions = {}) {
    this.#o = o;
  }

  /** The command lines run so far, joined by blanks. */
  get commands(): readonly string[] {
    return this.calls.filter((c) => c.name === 'programs.run').map((c) => (c.args[0] as readonly string[]).join(' '));
  }

  readonly programs: Kernel['programs'] = {
    run: async (argv, o, c) => {
      this.#note('programs.run', [argv, o], c);
      const a = this.#o.run?.(argv, o) ?? {};
      return { code: a.code ?? 0, stdout: a.stdout ?? Buffer.from(a.text ?? ''), stderr: a.stderr ?? Buffer.alloc(0) };
    },
  };

  readonly mounts: Kernel['mounts'] = {
    overlay: async (m: OverlayMount, c) => this.#mount('overlay', m.target, m, c),
    bind: async (source, target, o, c) => this.#mount('bind', target, { source, ...o }, c),
    tmpfs: async (target, o, c) => this.#mount('tmpfs', target, o, c),
    unmount: async (target, c) => {
      this.#note('mounts.unmount', [target], c);
      this.mounted.delete(target);
    },
    below: async (prefix, c) => {
      this.#note('mounts.below', [prefix], c);
      const inside = [...this.mounted.keys(), ...this.pinned].filter((p) => p === prefix || p.startsWith(`${prefix}/`));
      return inside.sort((a, b) => b.split('/').length - a.split('/').length || (a < b ? 1 : -1));
    },
  };

  readonly namespaces: Kernel['namespaces'] = {
    pin: async (folder, o, c) => {
      this.#note('namespaces.pin', [folder, o], c);
      for (const kind of o.kinds) this.pinned.add(`${folder}/${kind}`);
    },
    pinUser: async (folder, o, c) => {
      this.#note('namespaces.pinUser', [folder, o], c);
      for (const kind of ['user', ...o.kinds]) this.pinned.add(`${folder}/${kind}`);
    },
    pinProcesses: async (folder, o, c) => {
      this.#note('namespaces.pinProcesses', [folder, o], c);
      this.pinned.add(`${folder}/pid`);
    },
    /** A connection to oneself. */
    dial: async (netns, o, c) => {
      this.#note('namespaces.dial', [netns, o], c);
      return new PassThrough();
    },
    unpin: async (folder, c) => {
      this.#note('namespaces.unpin', [folder], c);
      for (const path of [...this.pinned]) if (path.startsWith(`${folder}/`)) this.pinned.delete(path);
    },
  };

  readonly cgroups: Kernel['cgroups'] = {
    version: 'v2',
    facts: { hasSwap: true, pageSizes: ['2MB'] },
    ensure: async (path, limits, c) => {
      this.#note('cgroups.ensure', [path, limits], c);
      this.groups.set(path, { ...this.groups.get(path), ...limits });
    },
    set: async (path, limits, c) => {
      this.#note('cgroups.set', [path, limits], c);
      this.groups.set(path, { ...this.groups.get(path), ...limits });
    },
    usage: async (path, c) => {
      this.#note('cgroups.usage', [path], c);
      return this.#usage(path);
    },
    usages: async (paths, c) => {
      this.#note('cgroups.usages', paths, c);
      const found = paths.map((path) => [path, this.#usage(path)] as const);
      return new Map(found.flatMap(([path, usage]) => (usage === undefined ? [] : [[path, usage] as const])));
    },
    expectMove: () => undefined,
    remove: async (path, c) => {
      this.#note('cgroups.remove', [path], c);
      for (const p of [...this.groups.keys()]) if (p === path || p.startsWith(`${path}/`)) this.groups.delete(p);
    },
    children: async (path, c) => {
      this.#note('cgroups.children', [path], c);
      const prefix = path === '/' ? '/' : `${path}/`;
      const names = [...this.groups.keys()].filter((p) => p.startsWith(prefix)).map((p) => p.slice(prefix.length));
      return [...new Set(names.map((n) => n.split('/')[0] ?? n))].sort();
    },
  };

  async unpackLayer(o: LayerToUnpack, c: Ctx): Promise<{ entries: number; bytes: number }> {
    this.#note('unpackLayer', [o.root], c);
    let bytes = 0;
    for await (const chunk of o.input) bytes += chunk.length;
    return { entries: 0, bytes };
  }

  async unpackBlob(o: BlobToUnpack, c: Ctx): Promise<UnpackedBlob> {
    this.#note('unpackBlob', [o.root, o.path], c);
    return { entries: 0, bytes: 0, diffId: sha256('') };
  }

  async packFolder(o: FolderToPack, c: Ctx): Promise<PackedFolder> {
    this.#note('packFolder', [o.root, o.file], c);
    return { entries: 0, bytes: 0, digest: sha256('') };
  }

  async syncFileSystem(path: string, c: Ctx): Promise<void> {
    this.#note('syncFileSystem', [path], c);
  }

  async ownTree(path: string, groupId: number, c: Ctx): Promise<void> {
    this.#note('ownTree', [path, groupId], c);
  }

  async removeTree(path: string, c: Ctx): Promise<void> {
    this.#note('removeTree', [path], c);
    const busy = [...this.mounted.keys()].find((p) => p === path || p.startsWith(`${path}/`));
    if (busy !== undefined) throw new StatusError('Conflict', `remove: ${busy} is a mount point`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.calls.push({ name: 'close', args: [] });
  }

  #mount(type: string, target: string, detail: unknown, c: Ctx): void {
    this.#note(`mounts.${type}`, [target, detail], c);
    if (!this.mounted.has(target)) this.mounted.set(target, { type, detail });
  }

  #usage(path: string): CgroupUsage | undefined {
    if (!this.groups.has(path)) return undefined;
    return this.#o.usage?.(path) ?? { cpuNs: 0, memoryBytes: 0, workingSetBytes: 0, pids: 0, oomKills: 0 };
  }

  #note(name: string, args: readonly unknown[], c: Ctx): void {
    c.signal.throwIfAborted();
    const call = { name, args };
    this.calls.push(call);
    this.#o.onCall?.(call);
  }
}
