/**
 * Between a hijacked connection and the streams of a container or exec: bytes with back-pressure both ways, the client's half
 * close as the end of input, detach keys at a terminal. Nothing is held but what the streams' own buffers hold.
 * Source: moby daemon/internal/stream/attach.go.
 */
import type { Duplex, Readable, Writable } from 'node:stream';
import type { StreamSession } from '../../runtime/runtime.ts';
import { deferred } from '../../runtime/streams.ts';
import { DetachScanner } from './detach-keys.ts';
import { framed, STDERR, STDOUT, type StreamNumber } from './multiplex.ts';

export interface Relay {
  readonly client: Duplex;
  readonly session: StreamSession;
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly isMultiplexed: boolean;
  /** undefined = none are looked for. */
  readonly detachKeys: Buffer | undefined;
  /** What the end of the client's input means: the end of the program's, or of the relay alone. */
  readonly inputEnd: 'ends-input' | 'ends-relay';
}

/** ended: both outputs have; left: the client's input did and that ends it; gone: the client is not there any more. */
export type RelayEnd = 'ended' | 'left' | 'detached' | 'gone';

/** Leaves session and client open: what becomes of them is the caller's. After it what the session gives is dropped. */
export async function relay(o: Relay): Promise<RelayEnd> {
  const { client } = o;
  const end = deferred<RelayEnd>();
  const onClose = (): void => end.resolve('gone');
  client.once('close', onClose);
  client.on('error', onClose);
  if (client.destroyed) onClose();
  const outputs = new Outputs(o);
  void outputs.ended.then(() => end.resolve('ended'));
  const input = o.stdin ? new Input(o, end.resolve) : undefined;
  if (input === undefined) client.resume();
  try {
    return await end.promise;
  } finally {
    outputs.stop();
    input?.stop();
    client.off('close', onClose);
  }
}

class Outputs {
  readonly ended: Promise<void>;
  readonly #sources: readonly (readonly [Readable, (chunk: Buffer) => void])[];
  readonly #client: Writable;
  readonly #resume: () => void;

  constructor({ client, session, stdout, stderr, isMultiplexed }: Relay) {
    this.#client = client;
    const sources = [
      [session.stdout, stdout, STDOUT],
      [session.stderr, stderr, STDERR],
    ] as const;
    const pass = (isWanted: boolean, stream: StreamNumber) => (chunk: Buffer) => {
      if (!isWanted || !client.writable) return;
      if (!client.write(isMultiplexed ? framed(stream, chunk) : chunk)) this.#pause();
    };
    this.#sources = sources.map(([source, isWanted, stream]) => [source, pass(isWanted, stream)]);
    this.#resume = () => {
      for (const [source] of this.#sources) source.resume();
    };
    client.on('drain', this.#resume);
    this.ended = Promise.all(sources.map(([source]) => endOf(source))).then(() => undefined);
    for (const [source, onData] of this.#sources) source.on('data', onData);
  }

  stop(): void {
    this.#client.off('drain', this.#resume);
    for (const [source, onData] of this.#sources) source.off('data', onData).resume();
  }

  #pause(): void {
    for (const [source] of this.#sources) source.pause();
  }
}

class Input {
  readonly #o: Relay;
  readonly #scanner: DetachScanner | undefined;
  readonly #end: (how: RelayEnd) => void;
  readonly #onData = (chunk: Buffer): void => this.#pass(chunk);
  readonly #onDrain = (): void => void this.#o.client.resume();
  readonly #onEnd = (): void => this.#ended();

  constructor(o: Relay, end: (how: RelayEnd) => void) {
    this.#o = o;
    this.#end = end;
    this.#scanner = o.detachKeys === undefined ? undefined : new DetachScanner(o.detachKeys);
    o.session.stdin.on('drain', this.#onDrain);
    /* Nobody takes it any more: the client is read on, or its end would not be seen. */
    o.session.stdin.on('close', this.#onDrain);
    o.client.once('end', this.#onEnd);
    o.client.on('data', this.#onData);
    if (o.client.readableEnded) this.#ended();
  }

  stop(): void {
    const { client, session } = this.#o;
    session.stdin.off('drain', this.#onDrain).off('close', this.#onDrain);
    client.off('end', this.#onEnd).off('data', this.#onData);
    client.resume();
  }

  #pass(chunk: Buffer): void {
    const { client, session } = this.#o;
    const { pass, isDetached } = this.#scanner?.scan(chunk) ?? { pass: chunk, isDetached: false };
    if (pass.length > 0 && session.stdin.writable && !session.stdin.write(pass)) client.pause();
    if (isDetached) this.#end('detached');
  }

  #ended(): void {
    if (this.#o.inputEnd === 'ends-relay') this.#end('left');
    else this.#o.session.stdin.end();
  }
}

function endOf(stream: Readable): Promise<void> {
  return new Promise((resolve) => {
    if (stream.readableEnded || stream.destroyed) resolve();
    else stream.once('end', resolve).once('close', resolve);
  });
}
