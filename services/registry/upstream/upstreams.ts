/**
 * Pull-through: what a configured upstream registry has is brought here when it is first asked for, verified, kept below
 * `<host>/<name>`, and served from there (`?ns=` as containerd's mirrors are asked, or by that path). A tag is compared with the
 * upstream's by HEAD when it was not for a while; an upstream that does not answer, or has enough of us (429), leaves what is here.
 *
 * Many who ask for one thing at the same time cause one question. While an upstream's Retry-After runs it is not asked at all.
 * A blob is brought only when a manifest that came from the upstream names it, which also says its size.
 */
import { readFile } from 'node:fs/promises';
import { type Ctx, isKind, messageOf, type Random, StatusError } from '#lib/base';
import {
  ALL_CAPABILITIES,
  type AnyDigest,
  type ContentStore,
  type Descriptor,
  DistributionClient,
  encodedOf,
  isAnyDigest,
  MANIFEST_BYTES_MAX,
  parseManifest,
  type RemoteManifest,
  type RemoteRepository,
  registryItself,
} from '#lib/oci';
import type { Leases } from '../collection/leases.ts';
import { registryError } from '../errors.ts';
import { storeManifest } from '../manifest-store.ts';
import type { Repositories, Repository } from '../repository.ts';
import type { RegistrySettings, Upstream } from '../settings.ts';

export interface UpstreamsOptions {
  readonly content: ContentStore;
  readonly repositories: Repositories;
  readonly leases: Leases;
  readonly settings: () => RegistrySettings;
  readonly random: Random;
}

/** What is asked for, here and there. */
export interface Target {
  readonly upstream: Upstream;
  readonly remoteName: string;
  readonly localName: string;
}

const ATTEMPTS = 2;
const QUIET_DEFAULT_SECONDS = 60;
/** Tags whose last comparison is remembered; more are compared again. */
const COMPARED_MAX = 10_000;
const REMOTES_MAX = 256;
/** Failures that leave what is here as good as it was. */
const PASSING = [
  'Unavailable',
  'TooManyRequests',
  'DeadlineExceeded',
  'Unauthorized',
  'Forbidden',
  'Internal',
] as const;

export class Upstreams implements AsyncDisposable {
  readonly #o: UpstreamsOptions;
  readonly #client: DistributionClient;
  readonly #busy = new Map<string, Promise<void>>();
  readonly #comparedAt = new Map<string, number>();
  readonly #quietUntil = new Map<string, number>();
  readonly #remotes = new Map<string, RemoteRepository>();

  constructor(o: UpstreamsOptions) {
    this.#o = o;
    this.#client = new DistributionClient({ random: o.random, attempts: ATTEMPTS });
  }

  /**
   * undefined: the repository is one of our own. Throws NAME_UNKNOWN for a registry that is none of the upstreams, so that its
   * images are not taken for ours of the same name; without upstreams `ns` says nothing.
   */
  targetOf(name: string, ns: string | null): Target | undefined {
    const { upstreams } = this.#o.settings();
    for (const upstream of upstreams) {
      const folder = folderOf(upstream);
      if (ns === upstream.host) return { upstream, remoteName: name, localName: `${folder}/${name}` };
      if (ns === null && name.startsWith(`${folder}/`))
        return { upstream, remoteName: name.slice(folder.length + 1), localName: name };
    }
    if (ns !== null && upstreams.length > 0)
      throw registryError('NAME_UNKNOWN', `${ns.slice(0, 200)} is none of the upstreams of this registry`);
    return undefined;
  }

  /** Afterwards what is asked for is here, when the upstream or we have it; else throws in the protocol's words. */
  async bring(t: Target, kind: 'manifest' | 'blob', reference: string, c: Ctx): Promise<void> {
    const key = `${kind} ${t.localName} ${reference}`;
    let work = this.#busy.get(key);
    if (work === undefined) {
      work = (kind === 'blob' ? this.#bringBlob(t, reference, c) : this.#bringManifest(t, reference, c)).finally(() =>
        this.#busy.delete(key),
      );
      this.#busy.set(key, work);
    }
    await work;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#busy.values());
    await this.#client[Symbol.asyncDispose]();
  }

  async #bringManifest(t: Target, reference: string, c: Ctx): Promise<void> {
    const local = this.#o.repositories.get(t.localName);
    const known = isAnyDigest(reference) ? reference : await local.tag(reference);
    const isHere = known !== undefined && (await local.manifest(known)) !== undefined;
    if (isHere && (isAnyDigest(reference) || this.#isFresh(t, reference, c))) return;
    try {
      await this.#fromUpstream(t, (remote) => this.#compare(remote, local, reference, c), c);
    } catch (e) {
      if (!isHere || !PASSING.some((kind) => isKind(e, kind))) throw translated(e, 'MANIFEST_UNKNOWN');
      c.log.warn(
        { err: messageOf(e), upstream: t.upstream.host, reference },
        'upstream not asked: served as it is here',
      );
      return;
    }
    this.#compared(t, reference, c);
  }

  async #compare(remote: RemoteRepository, local: Repository, reference: string, c: Ctx): Promise<void> {
    const tag = isAnyDigest(reference) ? undefined : reference;
    if (tag !== undefined) {
      const head = await remote.headManifest(tag, c);
      if (head === undefined) throw new StatusError('NotFound', `${remote.host}/${remote.name}:${tag} is not there`);
      const { digest } = head;
      if (digest !== undefined && (await local.manifest(digest)) !== undefined) {
        if ((await local.tag(tag)) !== digest)
          await this.#o.repositories.lock(local.name, () => local.setTag(tag, digest));
        return;
      }
    }
    await this.#keep(local, await remote.getManifest(reference, c), tag);
  }

  async #keep(local: Repository, m: RemoteManifest, tag: string | undefined): Promise<void> {
    const { repositories, leases, content, random } = this.#o;
    const manifest = parseManifest(m.bytes, m.mediaType);
    const tags = tag === undefined ? [] : [tag];
    await repositories.lock(local.name, () =>
      leases.hold([m.digest], () =>
        storeManifest({ content, random, repository: local }, { manifest, digest: m.digest, bytes: m.bytes, tags }),
      ),
    );
  }

  async #bringBlob(t: Target, text: string, c: Ctx): Promise<void> {
    if (!isAnyDigest(text)) return; // told by who answers
    const { content, leases, repositories } = this.#o;
    const local = repositories.get(t.localName);
    await leases.hold([text], async () => {
      const isStored = (await content.stat(text)) !== undefined;
      if (isStored && (await local.hasBlob(text))) return;
      const descriptor = await this.#describe(local, text);
      if (descriptor === undefined) throw registryError('BLOB_UNKNOWN');
      try {
        const ref = `upstream-${encodedOf(text)}`;
        if (!isStored) await this.#fromUpstream(t, (r) => fetched(r, descriptor, { content, ref }, c), c);
      } catch (e) {
        throw translated(e, 'BLOB_UNKNOWN');
      }
      await local.linkBlob(text);
    });
  }

  /** As a manifest that is here says. */
  async #describe(local: Repository, digest: AnyDigest): Promise<Descriptor | undefined> {
    for (const at of await local.manifests()) {
      const link = await local.manifest(at);
      if (link === undefined) continue;
      const m = parseManifest(await this.#o.content.readAll(at, MANIFEST_BYTES_MAX), link.mediaType);
      const found = m.type === 'manifest' && [m.config, ...m.layers].find((d) => d.digest === digest);
      if (found) return found;
    }
    return undefined;
  }

  /** Throws TooManyRequests without a question while the upstream wants to be left alone. */
  async #fromUpstream(t: Target, ask: (r: RemoteRepository) => Promise<void>, c: Ctx): Promise<void> {
    const { host } = t.upstream;
    const now = c.clock.monotonic();
    const quietMs = (this.#quietUntil.get(host) ?? now) - now;
    if (quietMs > 0) throw tooMany(host, Math.ceil(quietMs / 1000));
    try {
      await ask(await this.#remote(t));
    } catch (e) {
      if (!isKind(e, 'TooManyRequests')) throw e;
      const seconds = e.details.retryAfterSeconds ?? QUIET_DEFAULT_SECONDS;
      this.#quietUntil.set(host, c.clock.monotonic() + seconds * 1000);
      throw tooMany(host, seconds, e);
    }
  }

  /** With the credentials as their file holds them now. One a repository, so that its tokens are kept. */
  async #remote({ upstream: u, remoteName }: Target): Promise<RemoteRepository> {
    const password = u.passwordFile === undefined ? '' : (await readText(u.passwordFile)).trim();
    const key = JSON.stringify([u, remoteName, password]);
    const known = this.#remotes.get(key);
    if (known !== undefined) return known;
    const itself = registryItself(u.host, { capabilities: ALL_CAPABILITIES });
    const ca = u.caFile === undefined ? undefined : await readText(u.caFile);
    const at = {
      ...itself,
      ...(u.url !== undefined && { url: `${u.url.replace(/\/+$/, '')}/v2` }),
      ...(ca !== undefined && { tls: { ca: [ca], client: [], skipVerify: false } }),
    };
    const credentials = u.username === undefined ? undefined : { username: u.username, password };
    // By the name of where it is: a mirror would be told `ns`, and one that is this registry itself would ask itself for ever.
    const remote = this.#client.repository(new URL(at.url).host, remoteName, { at, credentials, attempts: ATTEMPTS });
    const [oldest] = this.#remotes.keys();
    if (this.#remotes.size >= REMOTES_MAX && oldest !== undefined) this.#remotes.delete(oldest);
    this.#remotes.set(key, remote);
    return remote;
  }

  #isFresh(t: Target, tag: string, c: Ctx): boolean {
    const at = this.#comparedAt.get(`${t.localName}:${tag}`);
    return at !== undefined && c.clock.monotonic() - at < t.upstream.revalidateSeconds * 1000;
  }

  #compared(t: Target, tag: string, c: Ctx): void {
    const [oldest] = this.#comparedAt.keys();
    if (this.#comparedAt.size >= COMPARED_MAX && oldest !== undefined) this.#comparedAt.delete(oldest);
    this.#comparedAt.set(`${t.localName}:${tag}`, c.clock.monotonic());
  }
}

/** What an earlier attempt has left is taken up; when it was rubbish, once more from the beginning. */
async function fetched(
  remote: RemoteRepository,
  d: Descriptor,
  { content, ref }: { readonly content: ContentStore; readonly ref: string },
  c: Ctx,
): Promise<void> {
  try {
    await remote.fetchBlob(d, content, { ref }, c);
  } catch (e) {
    if (!isKind(e, 'Invalid')) throw e;
    await remote.fetchBlob(d, content, { ref }, c);
  }
}

/** A port's colon is no part of a repository's name. */
function folderOf(u: Upstream): string {
  return u.host.toLowerCase().replace(':', '_');
}

function tooMany(host: string, retryAfterSeconds: number, cause?: unknown): StatusError {
  return new StatusError('TooManyRequests', `${host} wants no requests for ${retryAfterSeconds} s`, {
    reason: 'TOOMANYREQUESTS',
    details: { retryAfterSeconds },
    cause,
  });
}

/** What the upstream does not have, or does not show, is unknown here; its other failures are its own. */
function translated(e: unknown, unknown: 'MANIFEST_UNKNOWN' | 'BLOB_UNKNOWN'): unknown {
  if (isKind(e, 'TooManyRequests')) return e;
  if (isKind(e, 'NotFound') || isKind(e, 'Forbidden') || isKind(e, 'Unauthorized'))
    return registryError(unknown, `the upstream says: ${e.message}`, e);
  if (e instanceof StatusError)
    return new StatusError('Unavailable', `the upstream failed: ${e.message}`, { cause: e });
  return e;
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (e) {
    throw new StatusError('Unavailable', `cannot read ${path}: ${messageOf(e)}`, { cause: e });
  }
}
