/**
 * The agent's side of exec, attach, logs and port-forward: for each id the gateway names, one call of Streams.Open on the
 * second connection, handed to `serveStream`.
 *
 * The outcome is sent after the last byte of both outputs. When the gateway's end goes away, the handler's signal aborts.
 */

import type { Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { type Ctx, messageOf, Scope, StatusError, toStatusError } from '#lib/base';
import type { LogRequest, NodeStreamRequest } from '#lib/client';
import { FrameChannels, STDERR, STDIN, STDOUT } from '#proto/channels.ts';
import type { Frame__Output } from '#proto/gen/berth/streams/v1/Frame.ts';
import type { LogOptions__Output } from '#proto/gen/berth/streams/v1/LogOptions.ts';
import type { Request__Output } from '#proto/gen/berth/streams/v1/Request.ts';
import type { StreamsClient } from '#proto/gen/berth/streams/v1/Streams.ts';
import type { SessionDeps } from './session.ts';

const STREAMS_MAX = 500;
const REFUSAL_MS = 10_000;

export class StreamServer implements AsyncDisposable {
  readonly #client: StreamsClient;
  readonly #serve: SessionDeps['serveStream'];
  readonly #c: Ctx;
  readonly #scope: Scope;
  #count = 0;

  constructor(client: StreamsClient, serve: SessionDeps['serveStream'], c: Ctx) {
    this.#client = client;
    this.#serve = serve;
    this.#scope = new Scope('streams', c.signal);
    this.#c = { ...c, signal: this.#scope.signal };
  }

  open(streamId: string): void {
    if (this.#c.signal.aborted) return;
    if (this.#count >= STREAMS_MAX) {
      this.#refuse(streamId);
      return;
    }
    this.#count++;
    this.#scope.spawn('stream', async () => {
      try {
        await this.#run(streamId);
      } catch (e) {
        if (!this.#c.signal.aborted) this.#c.log.debug({ err: messageOf(e) }, 'a stream failed');
      } finally {
        this.#count--;
      }
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#scope[Symbol.asyncDispose]();
    this.#client.close();
  }

  /** Takes no part in what is asked: says why, and ends. */
  #refuse(streamId: string): void {
    const call = this.#client.Open();
    const late = this.#c.clock.after(REFUSAL_MS, () => call.cancel());
    call.on('error', () => late.cancel());
    call.on('end', () => late.cancel());
    const channels = new FrameChannels(call, { onEnd: () => undefined });
    call.write({ hello: { stream_id: streamId } });
    const message = `the node serves ${STREAMS_MAX} streams already`;
    channels.sendEnd({ error: new StatusError('TooManyRequests', message) });
    call.end();
  }

  async #run(streamId: string): Promise<void> {
    const call = this.#client.Open();
    await using scope = new Scope('one stream', this.#c.signal);
    scope.signal.addEventListener('abort', () => call.cancel(), { once: true });
    const first = new Promise<Frame__Output>((resolve, reject) => {
      call.once('data', (frame: Frame__Output) => {
        call.pause();
        resolve(frame);
      });
      call.once('error', reject);
      call.once('end', () => reject(new StatusError('Unavailable', 'the gateway closed the stream')));
    });
    call.write({ hello: { stream_id: streamId } });
    const { request } = await first;
    if (!request) throw new StatusError('BadRequest', 'the first frame is no request');
    await this.#answer(call, request, { ...this.#c, signal: scope.signal }, scope);
  }

  async #answer(
    call: ReturnType<StreamsClient['Open']>,
    request: Request__Output,
    c: Ctx,
    scope: Scope,
  ): Promise<void> {
    let over: () => void = () => undefined;
    const closed = new Promise<void>((resolve) => {
      over = resolve;
    });
    let isSent = false;
    const channels = new FrameChannels(call, {
      onEnd: () => {
        over();
        if (!isSent) scope.abort(new StatusError('Cancelled', 'the other end went away'));
      },
    });
    const stdin = channels.readable(STDIN);
    const stdout = channels.writable(STDOUT);
    const stderr = channels.writable(STDERR);
    call.resume();
    const io = { stdin, stdout, stderr, onResize: (fn: (w: number, h: number) => void) => channels.onResize(fn) };
    try {
      const { exitCode } = await this.#serve(requestOf(request), io, c);
      await Promise.all([ended(stdout), ended(stderr)]);
      isSent = true;
      channels.sendEnd({ exitCode });
    } catch (e) {
      isSent = true;
      // The ends of the outputs come with the error, never before it: a refusal must not look like an empty answer.
      await Promise.all([flushed(stdout), flushed(stderr)]);
      channels.sendEnd({ error: toStatusError(e) });
    }
    call.end();
    await closed;
  }
}

/** Until what was written has been sent; a broken stream has nothing more to wait for. */
async function ended(stream: Writable): Promise<void> {
  if (stream.destroyed) return;
  if (!stream.writableEnded) stream.end();
  await finished(stream).catch(() => undefined);
}

/** Until what was written has been sent; the stream stays open. */
async function flushed(stream: Writable): Promise<void> {
  if (stream.destroyed || stream.writableEnded) return ended(stream);
  await new Promise<void>((resolve) => stream.write(new Uint8Array(0), () => resolve()));
}

const KINDS = {
  LOGS: 'logs',
  EXEC: 'exec',
  ATTACH: 'attach',
  PORT_FORWARD: 'portforward',
  NODE_FORWARD: 'nodeforward',
  STATS: 'stats',
  POD_FORWARD: 'podforward',
} as const;

function requestOf(r: Request__Output): NodeStreamRequest {
  return {
    kind: KINDS[r.kind],
    pod: { namespace: r.namespace, name: r.pod, uid: r.pod_uid },
    container: r.container,
    command: r.command,
    stdin: r.stdin,
    stdout: r.stdout,
    stderr: r.stderr,
    tty: r.tty,
    port: r.port,
    path: r.path,
    ...(r.logs ? { logs: logRequest(r.logs) } : {}),
  };
}

function logRequest(l: LogOptions__Output): LogRequest {
  const given = (text: string): number | undefined => (Number(text) < 0 ? undefined : Number(text));
  return {
    follow: l.follow,
    previous: l.previous,
    timestamps: l.timestamps,
    sinceSeconds: given(l.since_seconds),
    sinceTime: l.since_time === '' ? undefined : l.since_time,
    tailLines: given(l.tail_lines),
    limitBytes: given(l.limit_bytes),
    stream: l.stream === 'Stdout' || l.stream === 'Stderr' ? l.stream : undefined,
  };
}
