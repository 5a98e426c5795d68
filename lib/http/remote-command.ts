/**
 * The streams of one exec or attach, the same over WebSocket channels (kubectl >= 1.31, browsers) and SPDY (older clients).
 *
 * Channels and streams: 0 stdin, 1 stdout, 2 stderr, 3 error, 4 resize. How the command ended goes as a v1 Status to the
 * error stream: Success, or Failure with reason NonZeroExitCode and the code as a cause; protocols before v4 get text.
 * Invariants: with a terminal there is no stderr; stdout and stderr are complete before the status is sent; `finish` may be
 * called when the client has gone (then it only cleans up).
 * Source: k8s.io/kubelet/pkg/cri/streaming/remotecommand/{websocket,httpstream,exec}.go; kubernetes-api.md 16.
 */
import type { IncomingMessage } from 'node:http';
import type { Duplex, Readable, Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { type Clock, ERROR_KINDS, realClock, StatusError } from '#lib/base';
import { acceptWebSocketChannels } from './channels.ts';
import { acceptSpdyCommand } from './spdy-command.ts';
import { upgradeOf } from './upgrade.ts';

export type RemoteOutcome = { readonly exitCode: number } | { readonly error: StatusError };

export interface RemoteStreams extends AsyncDisposable {
  /** Ends at the client's half close or when it goes away. */
  readonly stdin?: Readable | undefined;
  readonly stdout?: Writable | undefined;
  /** Absent with a terminal: it all comes on stdout. */
  readonly stderr?: Writable | undefined;
  /** The last size is given again to a later listener. Sizes that make no sense are dropped. */
  onResize(fn: (width: number, height: number) => void): void;
  /** Resolves when the client is gone or `finish` is done. */
  readonly closed: Promise<void>;
  /** Ends the output streams, sends the status, closes. The last call on this object. */
  finish(outcome: RemoteOutcome): Promise<void>;
}

export interface RemoteCommandOptions {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
  readonly clock?: Clock | undefined;
}

/** What a transport gives to make RemoteStreams of. */
export interface CommandTransport {
  readonly stdin: Readable | undefined;
  readonly stdout: Writable | undefined;
  readonly stderr: Writable | undefined;
  readonly error: Writable;
  readonly resize: Readable | undefined;
  /** v4 and later: the status is JSON. */
  readonly hasJsonStatus: boolean;
  readonly closed: Promise<void>;
  close(): Promise<void>;
}

const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;
const ERROR = 3;
const RESIZE = 4;
const PROTOCOLS = [
  'v5.channel.k8s.io',
  'v4.channel.k8s.io',
  'v4.base64.channel.k8s.io',
  'channel.k8s.io',
  'base64.channel.k8s.io',
];

/**
 * Does the handshake (101) and gives the streams; authorize before. Throws BadRequest or Forbidden before the 101 if nothing
 * is asked for or no protocol fits. The caller owns the result and calls `finish` (or disposes it).
 */
export async function acceptRemoteCommand(
  req: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  o: RemoteCommandOptions,
): Promise<RemoteStreams> {
  if (!o.stdin && !o.stdout && !o.stderr)
    throw new StatusError('BadRequest', 'you must specify at least 1 of stdin, stdout, stderr');
  const wanted = { ...o, stderr: o.stderr && !o.tty };
  const transport =
    upgradeOf(req) === 'websocket'
      ? await acceptChannelCommand(req, socket, head, wanted)
      : await acceptSpdyCommand(req, socket, head, { ...wanted, clock: o.clock ?? realClock });
  return new CommandStreams(transport);
}

async function acceptChannelCommand(
  req: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  o: RemoteCommandOptions,
): Promise<CommandTransport> {
  const connection = await acceptWebSocketChannels(req, socket, head, {
    protocols: PROTOCOLS,
    readable: [...(o.stdin ? [STDIN] : []), ...(o.tty ? [RESIZE] : [])],
    writable: [...(o.stdout ? [STDOUT] : []), ...(o.stderr ? [STDERR] : []), ERROR],
  });
  // An empty frame on the lowest output tells the client that the connection stands.
  connection.output(o.stdout ? STDOUT : o.stderr ? STDERR : ERROR).write('');
  return {
    stdin: o.stdin ? connection.input(STDIN) : undefined,
    stdout: o.stdout ? connection.output(STDOUT) : undefined,
    stderr: o.stderr ? connection.output(STDERR) : undefined,
    error: connection.output(ERROR),
    resize: o.tty ? connection.input(RESIZE) : undefined,
    hasJsonStatus: /^v[45]\./.test(connection.protocol),
    closed: connection.closed,
    close: () => connection.close(),
  };
}

class CommandStreams implements RemoteStreams {
  readonly stdin: Readable | undefined;
  readonly stdout: Writable | undefined;
  readonly stderr: Writable | undefined;
  readonly closed: Promise<void>;
  readonly #transport: CommandTransport;
  #size: { width: number; height: number } | undefined;
  #onResize: ((width: number, height: number) => void) | undefined;
  #finished: Promise<void> | undefined;

  constructor(transport: CommandTransport) {
    this.stdin = transport.stdin;
    this.stdout = transport.stdout;
    this.stderr = transport.stderr;
    this.closed = transport.closed;
    this.#transport = transport;
    let pending = '';
    transport.resize?.on('data', (chunk: Buffer) => {
      pending += chunk.toString('utf8');
      pending = this.#readSizes(pending);
    });
  }

  onResize(fn: (width: number, height: number) => void): void {
    this.#onResize = fn;
    if (this.#size !== undefined) fn(this.#size.width, this.#size.height);
  }

  finish(outcome: RemoteOutcome): Promise<void> {
    this.#finished ??= this.#finish(outcome);
    return this.#finished;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#transport.close();
  }

  async #finish(outcome: RemoteOutcome): Promise<void> {
    const { error, hasJsonStatus, closed } = this.#transport;
    const outputs = [this.stdout, this.stderr].filter((s) => s !== undefined);
    // A client that has gone never takes the rest: do not wait for it.
    await Promise.race([Promise.all(outputs.map(endOf)), closed]);
    const status = statusOfOutcome(outcome);
    const text = hasJsonStatus ? JSON.stringify(status) : status.status === 'Success' ? '' : status.message;
    if (text !== undefined && text !== '') error.write(text);
    await Promise.race([endOf(error), closed]);
    await this.#transport.close();
  }

  /** Takes the complete JSON objects off `text` (several may come in one piece) and gives the rest. */
  #readSizes(text: string): string {
    let rest = text;
    for (let end = rest.indexOf('}'); end >= 0; end = rest.indexOf('}')) {
      this.#resized(rest.slice(0, end + 1));
      rest = rest.slice(end + 1);
    }
    return rest.length > 1024 ? '' : rest;
  }

  #resized(text: string): void {
    const size = /"Width"\s*:\s*(\d{1,5})\b[^}]*"Height"\s*:\s*(\d{1,5})\b/i.exec(text);
    const flipped = size === null ? /"Height"\s*:\s*(\d{1,5})\b[^}]*"Width"\s*:\s*(\d{1,5})\b/i.exec(text) : null;
    const width = Number(size?.[1] ?? flipped?.[2] ?? 0);
    const height = Number(size?.[2] ?? flipped?.[1] ?? 0);
    if (width < 1 || height < 1 || width > 0xffff || height > 0xffff) return;
    this.#size = { width, height };
    this.#onResize?.(width, height);
  }
}

/** Ends a stream and waits until all of it is written; one that is destroyed counts as ended. */
async function endOf(stream: Writable): Promise<void> {
  if (stream.destroyed || stream.writableFinished) return;
  if (!stream.writableEnded) stream.end();
  await finished(stream, { readable: false }).catch(() => undefined);
}

interface OutcomeStatus {
  readonly status: 'Success' | 'Failure';
  readonly message?: string | undefined;
  readonly [key: string]: unknown;
}

/** The v1 Status that goes to the error channel. */
export function statusOfOutcome(outcome: RemoteOutcome): OutcomeStatus {
  if ('error' in outcome) {
    const { error } = outcome;
    return {
      metadata: {},
      status: 'Failure',
      message: error.message,
      reason: error.reason,
      details: error.details,
      code: ERROR_KINDS[error.kind].http,
    };
  }
  if (outcome.exitCode === 0) return { metadata: {}, status: 'Success' };
  return {
    metadata: {},
    status: 'Failure',
    message: `command terminated with non-zero exit code: exit status ${outcome.exitCode}`,
    reason: 'NonZeroExitCode',
    details: { causes: [{ reason: 'ExitCode', message: `${outcome.exitCode}` }] },
  };
}
