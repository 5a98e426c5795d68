/**
 * The distribution protocol from the client's side: pull and push of manifests and blobs in one repository. Bytes are
 * verified against size and digest before anyone sees them; a broken download goes on where it ended (Range); requests that
 * failed for a passing reason are repeated with back-off.
 * Source: github.com/opencontainers/distribution-spec spec.md 1.1.
 */
import type { BackoffPolicy, Ctx, Random } from '#lib/base';
import { isKind, retry, StatusError } from '#lib/base';
import { Authorizer, type Credentials } from './authorizer.ts';
import type { ContentStore, Ingest } from './content.ts';
import { type AnyDigest, algorithmOf, digestBytes, isAnyDigest } from './digest.ts';
import { type Descriptor, type Index, MANIFEST_BYTES_MAX, MEDIA_TYPES, parseManifest } from './image.ts';
import { digestMismatch, sizeMismatch } from './ingest.ts';
import { asArray, asStrings, optional, parseJsonObject } from './json.ts';
import { ALL_CAPABILITIES, isMirrorOf, type RegistryHost, registryItself } from './registry-host.ts';
import type { TransportOptions } from './transport.ts';
import {
  answerError,
  discard,
  type HttpRequest,
  type HttpResponse,
  readAnswer,
  Transport,
  transportError,
} from './transport.ts';
import { type BlobSource, type UploadOptions, type UploadPort, uploadBlob } from './upload.ts';

export interface DistributionOptions extends TransportOptions {
  readonly random: Random;
  /** Attempts of each request. Default 4. */
  readonly attempts?: number;
  /** Default 200 ms doubling to 5 s. */
  readonly backoff?: BackoffPolicy;
}

export interface RemoteManifest {
  readonly bytes: Buffer;
  readonly mediaType: string;
  readonly digest: AnyDigest;
}

const ACCEPT = [
  MEDIA_TYPES.ociIndex,
  MEDIA_TYPES.ociManifest,
  MEDIA_TYPES.dockerIndex,
  MEDIA_TYPES.dockerManifest,
  `${MEDIA_TYPES.dockerManifestV1};q=0.1`,
].join(', ');
const DOCUMENT_BYTES_MAX = MANIFEST_BYTES_MAX;
const BACKOFF: BackoffPolicy = { initialMs: 200, maxMs: 5000 };
/** Attempts of a download that moved forward are not counted; this bounds them all. */
const RESUMES_MAX = 100;

export class DistributionClient implements AsyncDisposable {
  readonly #options: DistributionOptions;
  readonly #transport: Transport;

  constructor(o: DistributionOptions) {
    this.#options = o;
    this.#transport = new Transport(o);
  }

  /** `at`: a mirror, which is told the registry's name by `ns`, or the registry with settings. Default: the registry itself. */
  repository(
    host: string,
    name: string,
    o: {
      readonly credentials?: Credentials | undefined;
      readonly at?: RegistryHost | undefined;
      readonly attempts?: number | undefined;
    } = {},
  ): RemoteRepository {
    const at = o.at ?? registryItself(host, { capabilities: ALL_CAPABILITIES });
    const { tls, dialTimeoutMs } = at;
    return new RemoteRepository({
      host,
      name,
      at,
      query: isMirrorOf(host, at) ? `?ns=${encodeURIComponent(host)}` : '',
      authorizer: new Authorizer({
        transport: this.#transport,
        base: at.url,
        connection: { tls, dialTimeoutMs },
        headers: at.headers ?? {},
        credentials: o.credentials,
      }),
      options: { ...this.#options, ...(o.attempts === undefined ? {} : { attempts: o.attempts }) },
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#transport[Symbol.asyncDispose]();
  }
}

interface RepositoryParts {
  readonly host: string;
  readonly name: string;
  readonly at: RegistryHost;
  readonly query: string;
  readonly authorizer: Authorizer;
  readonly options: DistributionOptions;
}

export class RemoteRepository {
  readonly #parts: RepositoryParts;

  constructor(parts: RepositoryParts) {
    this.#parts = parts;
  }

  get host(): string {
    return this.#parts.host;
  }

  get name(): string {
    return this.#parts.name;
  }

  /** By tag or digest. NotFound, Unauthorized, Forbidden, Unavailable; Invalid when it is not what its digest says. */
  async getManifest(reference: string, c: Ctx): Promise<RemoteManifest> {
    return this.#retried(async () => {
      const answer = await this.#get(`manifests/${reference}`, { accept: ACCEPT }, c);
      if (answer.status !== 200) throw await answerError(answer, this.#subject(reference), c);
      const bytes = await readAnswer(answer, MANIFEST_BYTES_MAX, c);
      const declared = answer.header('docker-content-digest');
      const expected = isAnyDigest(reference)
        ? reference
        : declared !== undefined && isAnyDigest(declared)
          ? declared
          : undefined;
      const digest = digestBytes(expected ? algorithmOf(expected) : 'sha256', bytes);
      if (expected !== undefined && digest !== expected) throw digestMismatch(expected, digest);
      const mediaType = parseManifest(bytes, answer.header('content-type')).mediaType;
      return { bytes, mediaType, digest };
    }, c);
  }

  /** The digest a tag stands for, without its bytes; undefined when it is not there. */
  async headManifest(reference: string, c: Ctx): Promise<{ digest: AnyDigest | undefined } | undefined> {
    return this.#retried(async () => {
      const answer = await this.#send(
        { method: 'HEAD', path: `manifests/${reference}`, headers: { accept: ACCEPT } },
        c,
      );
      await discard(answer);
      if (answer.status === 404) return undefined;
      if (answer.status !== 200) throw await answerError(answer, this.#subject(reference), c);
      const digest = answer.header('docker-content-digest');
      return { digest: digest !== undefined && isAnyDigest(digest) ? digest : undefined };
    }, c);
  }

  async hasBlob(digest: AnyDigest, c: Ctx): Promise<boolean> {
    return this.#retried(async () => {
      const answer = await this.#send({ method: 'HEAD', path: `blobs/${digest}`, headers: {} }, c);
      await discard(answer);
      if (answer.status === 200) return true;
      if (answer.status === 404) return false;
      throw await answerError(answer, this.#subject(digest), c);
    }, c);
  }

  /**
   * Brings a blob into `store`, verified. `onBytes` hears of progress (bytes so far). What a cancel leaves behind is the ingest
   * `ref`, which a later call with the same ref continues.
   */
  async fetchBlob(
    d: Descriptor,
    store: ContentStore,
    o: { readonly ref: string; readonly onBytes?: ((doneBytes: number) => void) | undefined },
    c: Ctx,
  ): Promise<void> {
    await using ingest = await store.begin(o.ref, { algorithm: algorithmOf(d.digest) });
    for (let resumes = 0; ; resumes++) {
      const before = ingest.offset;
      try {
        await this.#retried(() => this.#download(d, ingest, o.onBytes, c), c);
        break;
      } catch (e) {
        const moved = ingest.offset > before;
        if (!moved || !(e instanceof StatusError) || e.kind !== 'Unavailable' || resumes >= RESUMES_MAX) {
          if (e instanceof StatusError && e.kind === 'Invalid') await ingest.abort();
          throw e;
        }
      }
    }
    await ingest.commit({ digest: d.digest, sizeBytes: d.sizeBytes });
  }

  /** Small blobs (configs) straight to memory, verified. */
  async getBlob(d: Descriptor, bytesMax: number, c: Ctx): Promise<Buffer> {
    if (d.sizeBytes > bytesMax)
      throw new StatusError('TooLarge', `${d.digest} has ${d.sizeBytes} bytes, above the limit of ${bytesMax}`);
    return this.#retried(async () => {
      const answer = await this.#get(`blobs/${d.digest}`, {}, c);
      if (answer.status !== 200) throw await answerError(answer, this.#subject(d.digest), c);
      const bytes = await readAnswer(answer, bytesMax, c);
      if (bytes.length !== d.sizeBytes) throw sizeMismatch(d.digest, d.sizeBytes, bytes.length);
      const actual = digestBytes(algorithmOf(d.digest), bytes);
      if (actual !== d.digest) throw digestMismatch(d.digest, actual);
      return bytes;
    }, c);
  }

  /**
   * Uploads unless the registry has it. `mountFrom`: a repository of the same registry that has the blob. With `chunkBytes` the
   * blob goes in PATCH pieces of that size, and a piece that failed is repeated from where the registry says it is; else in one PUT.
   */
  async pushBlob(
    d: Pick<Descriptor, 'digest' | 'sizeBytes'>,
    source: BlobSource,
    o: UploadOptions,
    c: Ctx,
  ): Promise<'existed' | 'mounted' | 'uploaded'> {
    if (await this.hasBlob(d.digest, c)) return 'existed';
    const port: UploadPort = {
      subject: this.#subject(d.digest),
      send: (r) => this.#sendUrl(r, c),
      url: (path) => this.#url(path),
    };
    return this.#retried(() => uploadBlob(port, d, source, o, c), c);
  }

  /** Has the registry take the blob from another of its repositories; false when it does not, or not for this account. */
  async mountBlob(digest: AnyDigest, from: string, c: Ctx): Promise<boolean> {
    const headers = { 'content-length': '0' };
    try {
      const request = { method: 'POST', path: 'blobs/uploads/', headers, query: { mount: digest, from } } as const;
      const answer = await this.#send(request, c);
      await discard(answer);
      const upload = answer.status === 202 ? answer.header('location') : undefined;
      if (upload !== undefined)
        await discard(await this.#sendUrl({ method: 'DELETE', url: new URL(upload, answer.url).href, headers: {} }, c));
      return answer.status === 201;
    } catch (e) {
      if (isKind(e, 'Unauthorized') || isKind(e, 'Forbidden')) return false;
      throw e;
    }
  }

  /** Stores a manifest under a tag or its digest; gives its digest. */
  async putManifest(reference: string, mediaType: string, bytes: Uint8Array, c: Ctx): Promise<AnyDigest> {
    return this.#retried(async () => {
      const answer = await this.#send(
        { method: 'PUT', path: `manifests/${reference}`, headers: { 'content-type': mediaType }, body: () => bytes },
        c,
      );
      if (answer.status !== 201) throw await answerError(answer, this.#subject(reference), c);
      await discard(answer);
      const local = digestBytes(isAnyDigest(reference) ? algorithmOf(reference) : 'sha256', bytes);
      const told = answer.header('docker-content-digest');
      if (told !== undefined && told !== local) throw digestMismatch(local, told);
      return local;
    }, c);
  }

  /** All tags, through all pages. */
  async listTags(c: Ctx): Promise<readonly string[]> {
    const out: string[] = [];
    let url: string | undefined = this.#url('tags/list');
    while (url !== undefined) {
      const from: string = url;
      const [page, next] = await this.#retried(() => this.#tagPage(from, c), c);
      out.push(...page);
      url = next;
    }
    return out;
  }

  async referrers(digest: AnyDigest, artifactType: string | undefined, c: Ctx): Promise<Index> {
    return this.#retried(async () => {
      const answer = await this.#get(`referrers/${digest}`, {}, c, artifactType === undefined ? {} : { artifactType });
      if (answer.status !== 200) throw await answerError(answer, this.#subject(digest), c);
      const index = parseManifest(await readAnswer(answer, DOCUMENT_BYTES_MAX, c), MEDIA_TYPES.ociIndex);
      if (index.type !== 'index') throw new StatusError('Invalid', `the referrers of ${digest} are not an index`);
      return index;
    }, c);
  }

  /** A tag, or a manifest with all its tags. NotFound when it is not there. */
  async deleteManifest(reference: string, c: Ctx): Promise<void> {
    await this.#delete(`manifests/${reference}`, reference, c);
  }

  async deleteBlob(digest: AnyDigest, c: Ctx): Promise<void> {
    await this.#delete(`blobs/${digest}`, digest, c);
  }

  async #delete(path: string, subject: string, c: Ctx): Promise<void> {
    const answer = await this.#send({ method: 'DELETE', path, headers: {} }, c);
    if (answer.status !== 202) throw await answerError(answer, this.#subject(subject), c);
    await discard(answer);
  }

  async #tagPage(url: string, c: Ctx): Promise<readonly [readonly string[], string | undefined]> {
    const answer = await this.#sendUrl({ method: 'GET', url, headers: {} }, c);
    if (answer.status !== 200) throw await answerError(answer, `${this.host}/${this.name}`, c);
    const doc = parseJsonObject(await readAnswer(answer, DOCUMENT_BYTES_MAX, c), 'the tag list');
    const link = /<([^>]+)>\s*;\s*rel="?next"?/.exec(answer.header('link') ?? '')?.[1];
    const tags = optional(doc['tags'], asStrings, 'tags') ?? asArray([], 'tags').map(String);
    return [tags, link === undefined || tags.length === 0 ? undefined : new URL(link, url).href];
  }

  async #download(d: Descriptor, ingest: Ingest, onBytes: ((n: number) => void) | undefined, c: Ctx): Promise<void> {
    if (ingest.offset > d.sizeBytes) await ingest.reset();
    if (ingest.offset === d.sizeBytes && d.sizeBytes > 0) return;
    const start = ingest.offset;
    const answer = await this.#get(`blobs/${d.digest}`, start > 0 ? { range: `bytes=${start}-` } : {}, c);
    if (answer.status === 416) await ingest.reset();
    const isPart = answer.status === 206 && answer.header('content-range')?.startsWith(`bytes ${start}-`) === true;
    if (!isPart && answer.status !== 200) throw await answerError(answer, this.#subject(d.digest), c);
    if (!isPart && start > 0) await ingest.reset();
    try {
      for await (const piece of answer.body) {
        if (!(piece instanceof Uint8Array)) continue;
        if (ingest.offset + piece.length > d.sizeBytes)
          throw sizeMismatch(d.digest, d.sizeBytes, ingest.offset + piece.length);
        await ingest.write(piece);
        onBytes?.(ingest.offset);
      }
    } catch (e) {
      throw isDiskError(e) ? e : transportError(e, this.#at(), c);
    }
    if (ingest.offset < d.sizeBytes)
      throw new StatusError('Unavailable', `registry ${this.#at()} ended ${d.digest} after ${ingest.offset} bytes`);
  }

  #get(
    path: string,
    headers: Record<string, string>,
    c: Ctx,
    query: Record<string, string> = {},
  ): Promise<HttpResponse> {
    return this.#send({ method: 'GET', path, headers, query }, c);
  }

  #send(
    r: Omit<HttpRequest, 'url'> & { readonly path: string; readonly query?: Readonly<Record<string, string>> },
    c: Ctx,
  ): Promise<HttpResponse> {
    const url = new URL(this.#url(r.path));
    for (const [k, v] of Object.entries(r.query ?? {})) url.searchParams.set(k, v);
    return this.#sendUrl({ method: r.method, url: url.href, headers: r.headers, body: r.body }, c);
  }

  #sendUrl(r: HttpRequest, c: Ctx): Promise<HttpResponse> {
    const isPull = r.method === 'GET' || r.method === 'HEAD';
    const actions = r.method === 'DELETE' ? 'delete' : isPull ? 'pull' : 'pull,push';
    const from = new URL(r.url).searchParams.get('from');
    const scopes = [`repository:${this.name}:${actions}`, ...(from ? [`repository:${from}:pull`] : [])];
    return this.#parts.authorizer.send(r, scopes, c);
  }

  #url(path: string): string {
    return `${this.#parts.at.url}/${this.name}/${path}${this.#parts.query}`;
  }

  #at(): string {
    return new URL(this.#parts.at.url).host;
  }

  #subject(reference: string): string {
    return `${this.host}/${this.name}${isAnyDigest(reference) ? '@' : ':'}${reference}`;
  }

  #retried<T>(fn: () => Promise<T>, c: Ctx): Promise<T> {
    const { attempts, backoff, random } = this.#parts.options;
    return retry(fn, { attempts: attempts ?? 4, policy: backoff ?? BACKOFF, random }, c);
  }
}

function isDiskError(e: unknown): boolean {
  return e instanceof Error && 'code' in e && (e.code === 'ENOSPC' || e.code === 'EDQUOT' || e.code === 'EIO');
}
