/** All networks, and what containers have of them: in memory, and on disk before it is so. One file each, replaced atomically. */
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Logger, makePrivateFolder, removeDrafts, writeFileAtomic } from '#lib/base';
import { badParameter, notFound } from '../http/contract.ts';
import { NameTable } from './dns/zone.ts';
import type { Family } from './ipam/blocks.ts';
import { decodeNetwork, decodeSandbox, encodeRecord, type NetworkRecord, type SandboxRecord } from './record.ts';

export class NetworkState {
  readonly networks = new Map<string, NetworkRecord>();
  readonly sandboxes = new Map<string, SandboxRecord>();
  readonly #folder: string;
  readonly #last = new Map<string, string>();
  #names: NameTable | undefined;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async open(folder: string, log: Logger): Promise<NetworkState> {
    const state = new NetworkState(folder);
    await makePrivateFolder(folder);
    for (const kind of ['records', 'sandboxes']) {
      await makePrivateFolder(join(folder, kind));
      await removeDrafts(join(folder, kind));
    }
    await each(join(folder, 'records'), log, (bytes) => {
      const record = decodeNetwork(bytes);
      state.networks.set(record.id, record);
    });
    await each(join(folder, 'sandboxes'), log, (bytes) => {
      const record = decodeSandbox(bytes);
      state.sandboxes.set(record.containerId, record);
    });
    return state;
  }

  /** Of the pinned namespace of a container. */
  namespaceFolder(containerId: string): string {
    return join(this.#folder, 'ns', containerId);
  }

  namespacePath(containerId: string): string {
    return join(this.namespaceFolder(containerId), 'net');
  }

  get namespacesFolder(): string {
    return join(this.#folder, 'ns');
  }

  /** By full id, full name, or a prefix of an id that is one's alone. 404 "network X not found". */
  find(text: string): NetworkRecord {
    const exact = this.networks.get(text) ?? [...this.networks.values()].find((n) => n.name === text);
    if (exact !== undefined) return exact;
    const byPrefix = text === '' ? [] : [...this.networks.values()].filter((n) => n.id.startsWith(text));
    const [only] = byPrefix;
    if (byPrefix.length > 1)
      throw badParameter(`network ${text} is ambiguous (${byPrefix.length} matches found based on ID prefix)`);
    if (only === undefined) throw notFound(`network ${text} not found`);
    return only;
  }

  /** In memory at once: who asks next sees it. On disk when it resolves. */
  async saveNetwork(n: NetworkRecord): Promise<void> {
    this.networks.set(n.id, n);
    this.#names = undefined;
    await writeFileAtomic(this.#path('records', n.id), encodeRecord(n), { mode: 0o600 });
  }

  async removeNetwork(id: string): Promise<void> {
    this.networks.delete(id);
    this.#names = undefined;
    await rm(this.#path('records', id), { force: true });
  }

  /** As saveNetwork. Not synced: after a power loss its namespace is gone too. */
  async saveSandbox(s: SandboxRecord): Promise<void> {
    this.sandboxes.set(s.containerId, s);
    this.#names = undefined;
    for (const e of s.endpoints)
      for (const [family, ip] of [[4, e.ipv4] as const, [6, e.ipv6] as const])
        if (ip !== '') this.#last.set(`${e.networkId} ${family}`, ip);
    await writeFileAtomic(this.#path('sandboxes', s.containerId), encodeRecord(s), { mode: 0o600, durable: false });
  }

  async removeSandbox(containerId: string): Promise<void> {
    this.sandboxes.delete(containerId);
    this.#names = undefined;
    await rm(this.#path('sandboxes', containerId), { force: true });
  }

  /** Addresses that others than `containerId` have or keep. */
  used(networkId: string, containerId: string): Set<string> {
    const out = new Set<string>();
    for (const s of this.sandboxes.values()) {
      if (s.containerId === containerId) continue;
      for (const e of s.endpoints) if (e.networkId === networkId) out.add(e.ipv4).add(e.ipv6);
    }
    return out;
  }

  last(networkId: string, family: Family): string | undefined {
    return this.#last.get(`${networkId} ${family}`);
  }

  get names(): NameTable {
    this.#names ??= new NameTable(this.sandboxes, this.networks);
    return this.#names;
  }

  /** Containers that are on a network now. */
  on(networkId: string): readonly SandboxRecord[] {
    return [...this.sandboxes.values()].filter(
      (s) => s.phase !== 'closed' && s.endpoints.some((e) => e.networkId === networkId),
    );
  }

  #path(kind: 'records' | 'sandboxes', id: string): string {
    return join(this.#folder, kind, `${id}.json`);
  }
}

async function each(folder: string, log: Logger, take: (bytes: Buffer) => void): Promise<void> {
  for (const name of await readdir(folder)) {
    try {
      take(await readFile(join(folder, name)));
    } catch (err) {
      log.error({ err, path: join(folder, name) }, 'a record of the engine cannot be read: it is left alone');
    }
  }
}
