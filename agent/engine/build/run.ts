/**
 * POST /build: nothing is answered before the whole context has come (a client that still writes does not read), errors before
 * the first line are errors of HTTP, later ones a last line. A client that goes away ends its build; finished steps stay cached.
 * Source: moby daemon/server/router/build/build_routes.go (postBuild, postCancel).
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { type Ctx, messageOf } from '#lib/base';
import type { Transport } from '#lib/oci';
import type { Builder, BuildRequest } from '../../build/node/builder.ts';
import { CommandFailed } from '../../build/solve/run-step.ts';
import type { PullOptions } from '../../images/images.ts';
import { credentialsIn } from '../../images/keyring.ts';
import { badParameter, EngineError, type EngineReply, type EngineRequest, type EngineRoute } from '../http/contract.ts';
import { gathered } from '../http/gathered.ts';
import { familiarText } from '../images/names.ts';
import type { EngineEvents, EngineHost, EngineImages } from '../parts.ts';
import { readContext } from './context.ts';
import { type BuildOptions, readBuildOptions } from './options.ts';
import { ClassicOutput, type WriteLine } from './output.ts';

export interface BuildsParts {
  readonly builder: Builder;
  readonly transport: Transport;
  /** Contexts while they are built. */
  readonly folder: string;
  readonly events: EngineEvents;
  readonly images: Pick<EngineImages, 'find'>;
  readonly host: Pick<EngineHost, 'kernel' | 'random'>;
}

/** Of a quiet build: what is shown when it fails. */
const QUIET_CHARS_MAX = 2 << 20;

export class Builds implements AsyncDisposable {
  readonly #parts: BuildsParts;
  readonly #cancels = new Map<string, AbortController>();
  readonly #running = new Set<Promise<void>>();
  readonly #stop = new AbortController();

  constructor(parts: BuildsParts) {
    this.#parts = parts;
  }

  get routes(): readonly EngineRoute[] {
    return [
      { method: 'POST', path: '/build', handle: (r, reply) => this.#tracked(r, reply) },
      { method: 'POST', path: '/build/cancel', handle: async (r, reply) => this.#cancel(r, reply) },
    ];
  }

  /** Ends what is being built. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('the engine stops'));
    await Promise.allSettled(this.#running);
  }

  async #tracked(r: EngineRequest, reply: EngineReply): Promise<void> {
    const running = this.#build(r, reply);
    this.#running.add(running);
    try {
      await running;
    } finally {
      this.#running.delete(running);
    }
  }

  #cancel(r: EngineRequest, reply: EngineReply): void {
    const id = r.query.get('id') ?? '';
    if (id === '') throw badParameter('build ID not provided');
    this.#cancels.get(id)?.abort(new Error('Build cancelled'));
    reply.empty(200);
  }

  /** An id, or a part of one; undefined: no image of this node. */
  async #localName(name: string, c: Ctx): Promise<string | undefined> {
    try {
      return (await this.#parts.images.find(name, c)).image.reference;
    } catch (e) {
      if (e instanceof EngineError && e.status < 500) return undefined;
      throw e;
    }
  }

  async #build(r: EngineRequest, reply: EngineReply): Promise<void> {
    const { folder, host } = this.#parts;
    const o = readBuildOptions(r.query);
    const cancel = new AbortController();
    if (o.buildId !== '') this.#cancels.set(o.buildId, cancel);
    const c: Ctx = { ...r.c, signal: AbortSignal.any([r.c.signal, cancel.signal, this.#stop.signal]) };
    const own = join(folder, host.random.hex(16));
    await mkdir(own, { mode: 0o700 });
    try {
      await this.#answer(r, o, { reply, folder: own }, c);
    } finally {
      if (this.#cancels.get(o.buildId) === cancel) this.#cancels.delete(o.buildId);
      await host.kernel.removeTree(own, { ...c, signal: new AbortController().signal });
    }
    await this.#parts.builder.tidy({ ...r.c, signal: this.#stop.signal });
  }

  async #answer(
    r: EngineRequest,
    o: BuildOptions,
    at: { readonly reply: EngineReply; readonly folder: string },
    c: Ctx,
  ): Promise<void> {
    const { builder, events, host, transport } = this.#parts;
    const context = await readContext(
      { body: gathered(r.body, c), remote: o.remote, dockerfile: o.dockerfile },
      { kernel: host.kernel, transport, folder: at.folder },
      c,
    );
    const lines = new Answer(at.reply, o.quiet, c.signal);
    const output = new ClassicOutput(lines.write);
    const { dockerfile, tree } = context;
    const { buildArgs, cacheFrom, cacheTo, labels, latestMs, network, noCache, platform, pull, step, tags, target } = o;
    const request: BuildRequest = {
      ...{ dockerfile, context: tree, buildArgs, labels, latestMs, network, noCache, pull, step, tags, target },
      ...{ cacheFrom, cacheTo, platform },
      secrets: new Map(),
      pulls: { credentials: credentialsOf(r.headers['x-registry-config']), isKept: true, onProgress: output.pull },
      localName: (name, own) => this.#localName(name, own),
      onEvent: (e) => output.on(e),
      outputs: [],
    };
    try {
      const image = await builder.build(request, c);
      const familiar = image.references.map(familiarText);
      for (const name of familiar) events.emit({ type: 'image', action: 'tag', id: image.id, attributes: { name } });
      void output.done({ id: image.id, tags: familiar, buildArgs: o.buildArgs.keys() });
      lines.done(image.id);
    } catch (e) {
      void output.failed();
      lines.failed(e);
    }
  }
}

/** The lines of one build's answer; begun with the first of them. */
class Answer {
  readonly #reply: EngineReply;
  readonly #quiet: boolean;
  readonly #signal: AbortSignal;
  /** Newest last. */
  #kept: string[] = [];
  #keptChars = 0;
  #output: Writable | undefined;

  constructor(reply: EngineReply, quiet: boolean, signal: AbortSignal) {
    this.#reply = reply;
    this.#quiet = quiet;
    this.#signal = signal;
  }

  readonly write: WriteLine = (line) => {
    const text = encode(line);
    if (!this.#quiet) return this.#send(text);
    this.#kept.push(text);
    this.#keptChars += text.length;
    while (this.#keptChars > QUIET_CHARS_MAX) this.#keptChars -= this.#kept.shift()?.length ?? 0;
    return undefined;
  };

  done(id: string): void {
    if (this.#quiet) void this.#send(encode({ stream: `${id}\n` }));
    this.#output?.end();
  }

  /** Throws what nobody was told of yet. */
  failed(e: unknown): void {
    if (this.#quiet) for (const text of this.#kept.splice(0)) void this.#send(text);
    if (this.#output === undefined) throw e;
    const message = this.#signal.aborted ? 'Build cancelled' : messageOf(e);
    const code = e instanceof CommandFailed ? { code: e.exitCode } : {};
    void this.#send(encode({ errorDetail: { ...code, message }, error: message }));
    this.#output.end();
  }

  /** What the client does not take waits with who wrote it, until it goes away. */
  #send(text: string): Promise<void> | undefined {
    this.#output ??= this.#reply.stream('application/json');
    const output = this.#output;
    if (output.destroyed || output.writableEnded || output.write(text)) return undefined;
    return new Promise((resolve) => {
      const settle = (): void => {
        output.off('drain', settle).off('close', settle);
        resolve();
      };
      output.on('drain', settle).on('close', settle);
      if (output.destroyed) settle();
    });
  }
}

function encode(line: object): string {
  return `${JSON.stringify(line)}\r\n`;
}

/** base64url of {host: credentials}; what cannot be read is as if it were not there, as it is to Docker. */
function credentialsOf(header: string | string[] | undefined): NonNullable<PullOptions['credentials']> {
  if (typeof header !== 'string' || header === '') return () => undefined;
  const auths = Buffer.from(header, 'base64url').toString();
  const data = Buffer.from(`{"auths":${auths}}`).toString('base64');
  const meta = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'registry-config' } };
  const secret = { ...meta, data: { '.dockerconfigjson': data } };
  return (host, repository) => credentialsIn([secret], host, repository);
}
