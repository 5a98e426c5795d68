/** Mounts and pinned namespaces, done by the native helper; the mount table is read here. */
import { readFile, realpath } from 'node:fs/promises';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type Ctx, raceAbort, SharedRead, StatusError } from '#lib/base';
import type { Mounts, Namespaces, OverlayMount, PinnedNamespace } from '../kernel.ts';
import { codeOf } from './cgroup-files.ts';
import type { LinuxCgroups } from './cgroups.ts';
import type { Helper } from './helper.ts';

export class HelperMounts implements Mounts {
  readonly #helper: Helper;
  /** The kernel writes a full node's table in milliseconds, and pods often end together: one table serves all who wait. */
  readonly #table = new SharedRead(readMountInfo);

  constructor(helper: Helper) {
    this.#helper = helper;
  }

  async overlay(m: OverlayMount, c: Ctx): Promise<void> {
    const folders = [m.target, m.upper, m.work, ...m.lower];
    if (m.mapped === undefined) await this.#helper.call('overlay', folders, c);
    else await this.#helper.call('overlayMapped', [m.mapped.userNamespace, m.mapped.staging, ...folders], c);
  }

  async bind(source: string, target: string, o: { readOnly?: boolean; recursive?: boolean }, c: Ctx): Promise<void> {
    await this.#helper.call('bind', [source, target, o.readOnly ? 1 : 0, o.recursive ? 1 : 0], c);
  }

  async tmpfs(target: string, o: { sizeBytes?: number; mode?: number }, c: Ctx): Promise<void> {
    await this.#helper.call('tmpfs', [target, o.sizeBytes ?? 0, o.mode ?? 0], c);
  }

  async unmount(target: string, c: Ctx): Promise<void> {
    await this.#helper.call('unmount', [target], c);
  }

  async below(prefix: string, c: Ctx): Promise<readonly string[]> {
    c.signal.throwIfAborted();
    const clean = prefix.replace(/\/+$/, '');
    /* The table knows no symbolic links, and the folder that everything is in may be reached by one. */
    const real = await realpath(clean || '/').catch((e: unknown) => (codeOf(e) === 'ENOENT' ? undefined : clean));
    /* Where nothing is, nothing is mounted. */
    if (real === undefined) return [];
    const table = parseMountTable(linesWith(await this.#table.read(), escapeOctal(real)));
    const points = table.map((m) => m.point).filter((p) => p === real || real === '/' || p.startsWith(`${real}/`));
    const named = points.map((p) => clean + (real === '/' ? p : p.slice(real.length)));
    return named.sort((a, b) => b.split('/').length - a.split('/').length || (a < b ? 1 : -1));
  }
}

export class HelperNamespaces implements Namespaces {
  readonly #helper: Helper;
  readonly #cgroups: LinuxCgroups;

  constructor(helper: Helper, cgroups: LinuxCgroups) {
    this.#helper = helper;
    this.#cgroups = cgroups;
  }

  async pin(
    folder: string,
    o: { kinds: readonly PinnedNamespace[]; hostname?: string; sysctls?: Readonly<Record<string, string>> },
    c: Ctx,
  ): Promise<void> {
    if (o.kinds.length === 0) throw new StatusError('Invalid', 'no namespace to pin');
    const sysctls = Object.entries(o.sysctls ?? {}).map(([name, value]) => `${name}=${value}`);
    await this.#helper.call('pin', [folder, o.kinds.join(','), o.hostname ?? '', ...sysctls], c);
  }

  async pinUser(
    folder: string,
    o: { kinds: readonly PinnedNamespace[]; ids: { readonly first: number; readonly count: number } },
    c: Ctx,
  ): Promise<void> {
    await this.#helper.call('pinUser', [folder, o.kinds.join(','), o.ids.first, o.ids.count], c);
  }

  async pinProcesses(folder: string, o: { cgroup: string }, c: Ctx): Promise<void> {
    await this.#helper.call('pause', [folder, ...(await this.#cgroups.procsFiles(o.cgroup))], c);
  }

  async dial(netns: string, o: { addresses: readonly string[]; port: number }, c: Ctx): Promise<Duplex> {
    const stream = await this.#helper.expectStream({ allowHalfOpen: true });
    try {
      await this.#helper.call('dial', [this.#helper.streamsPath, stream.token, netns, o.port, ...o.addresses], c);
      const socket = await raceAbort(stream.socket, c.signal);
      return await dialled(socket, c);
    } finally {
      stream.forget();
    }
  }

  async unpin(folder: string, c: Ctx): Promise<void> {
    await this.#helper.call('unpin', [folder], c);
  }
}

const REASON_BYTES_MAX = 4096;

/** agent/native/dial.c: S, or X and the reason. */
async function dialled(socket: Socket, c: Ctx): Promise<Socket> {
  const cut = (): void => void socket.destroy();
  c.signal.addEventListener('abort', cut, { once: true });
  try {
    const word = await read(socket, 1);
    if (word?.toString() === 'S') return socket;
    let reason = '';
    for (let piece = word; piece !== undefined && reason.length < REASON_BYTES_MAX; ) {
      piece = await read(socket);
      reason += piece?.toString() ?? '';
    }
    socket.destroy();
    c.signal.throwIfAborted();
    throw new StatusError('Unavailable', reason.slice(0, REASON_BYTES_MAX) || 'the connection was lost');
  } finally {
    c.signal.removeEventListener('abort', cut);
  }
}

/** What is there next, exactly `size` bytes where given; undefined at the end. */
async function read(socket: Socket, size?: number): Promise<Buffer | undefined> {
  for (;;) {
    const piece: Buffer | null = socket.read(size);
    if (piece !== null) return piece;
    if (socket.readableEnded || socket.destroyed) return undefined;
    await new Promise<void>((resolve) => {
      for (const event of ['readable', 'end', 'close']) socket.once(event, () => resolve());
    });
  }
}

export interface MountEntry {
  readonly point: string;
  readonly type: string;
  /** Options of the file system, e.g. the controllers of a cgroup v1 mount. */
  readonly superOptions: readonly string[];
}

/** Blanks in paths are octal escapes there. Source: proc(5). */
export async function mountTable(): Promise<readonly MountEntry[]> {
  return parseMountTable(await readMountInfo());
}

function readMountInfo(): Promise<string> {
  return readFile('/proc/self/mountinfo', 'utf8');
}

/** A full node's table is a thousand lines, and each pod's end asks for its own few. */
export function linesWith(text: string, part: string): string {
  let out = '';
  for (let at = text.indexOf(part); at >= 0; ) {
    const end = text.indexOf('\n', at);
    const next = end < 0 ? text.length : end + 1;
    out += text.slice(text.lastIndexOf('\n', at) + 1, next);
    at = text.indexOf(part, next);
  }
  return out;
}

export function parseMountTable(text: string): readonly MountEntry[] {
  const out: MountEntry[] = [];
  for (const line of text.split('\n')) {
    const [left, right] = line.split(' - ');
    if (left === undefined || right === undefined) continue;
    const point = left.split(' ')[4];
    const [type, , superOptions] = right.split(' ');
    if (point === undefined || type === undefined) continue;
    out.push({ point: unescapeOctal(point), type, superOptions: (superOptions ?? '').split(',') });
  }
  return out;
}

function escapeOctal(text: string): string {
  return text.replace(/[ \t\n\\]/g, (c) => `\\${c.charCodeAt(0).toString(8).padStart(3, '0')}`);
}

function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
