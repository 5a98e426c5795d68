/**
 * A plugin, dialled at its unix socket. It is another program: each call has a time limit and its answer a size limit, and a
 * link in the place of the socket is not followed. Failures read as the kubelet's do.
 */
import { lstat } from 'node:fs/promises';
import { Client, credentials, type MethodDefinition, type ServiceError } from '@grpc/grpc-js';
import { type Ctx, type ErrorKind, raceAbort, StatusError } from '#lib/base';

/** A call as a table of types gives it (protocol.ts). */
export type Method<Q, A> = Pick<MethodDefinition<Q, A>, 'path' | 'requestSerialize' | 'responseDeserialize'>;

const ANSWER_BYTES_MAX = 4 << 20;
/** sun_path of Linux, with its end. */
const SOCKET_PATH_BYTES_MAX = 107;

/** gRPC's codes by number. */
const CODES: readonly (readonly [name: string, kind: ErrorKind])[] = [
  ['OK', 'Internal'],
  ['Canceled', 'Cancelled'],
  ['Unknown', 'Internal'],
  ['InvalidArgument', 'Invalid'],
  ['DeadlineExceeded', 'DeadlineExceeded'],
  ['NotFound', 'NotFound'],
  ['AlreadyExists', 'AlreadyExists'],
  ['PermissionDenied', 'Forbidden'],
  ['ResourceExhausted', 'TooManyRequests'],
  ['FailedPrecondition', 'Conflict'],
  ['Aborted', 'Conflict'],
  ['OutOfRange', 'Invalid'],
  ['Unimplemented', 'Unimplemented'],
  ['Internal', 'Internal'],
  ['Unavailable', 'Unavailable'],
  ['DataLoss', 'Internal'],
  ['Unauthenticated', 'Unauthorized'],
];

/** Throws Invalid for anything but a socket: a link could lead anywhere. */
export async function refuseNoSocket(path: string): Promise<void> {
  if (Buffer.byteLength(path) > SOCKET_PATH_BYTES_MAX)
    throw new StatusError('Invalid', `${path}: longer than the ${SOCKET_PATH_BYTES_MAX} bytes of a socket's path`);
  const found = await lstat(path).catch((e: unknown) => {
    throw new StatusError('NotFound', `${path}: no such socket`, { cause: e });
  });
  if (!found.isSocket()) throw new StatusError('Invalid', `${path} is not a socket`);
}

export class PluginClient implements Disposable {
  readonly socket: string;
  readonly #client: Client;

  /** Dials at the first call, and again whenever the connection has gone. */
  constructor(socket: string) {
    this.socket = socket;
    this.#client = new Client(`unix:${socket}`, credentials.createInsecure(), {
      'grpc.enable_channelz': 0,
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 2_000,
      'grpc.max_receive_message_length': ANSWER_BYTES_MAX,
      'grpc.default_authority': 'localhost',
    });
  }

  call<Q, A>(method: Method<Q, A>, request: Q, timeoutMs: number, c: Ctx): Promise<A> {
    const { path, requestSerialize, responseDeserialize } = method;
    const answer = new Promise<A>((resolve, reject) => {
      const options = { deadline: c.clock.now() + timeoutMs };
      const call = this.#client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        options,
        (e, value) => {
          c.signal.removeEventListener('abort', cancel);
          if (value === undefined) reject(pluginError(e));
          else resolve(value);
        },
      );
      const cancel = (): void => call.cancel();
      c.signal.addEventListener('abort', cancel, { once: true });
      if (c.signal.aborted) cancel();
    });
    return raceAbort(answer, c.signal);
  }

  /** Each message, awaited before the next is read; ends or throws when the stream does. */
  async *follow<Q, A>(method: Method<Q, A>, request: Q, c: Ctx): AsyncGenerator<A, void, undefined> {
    const { path, requestSerialize, responseDeserialize } = method;
    const call = this.#client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request);
    const cancel = (): void => call.cancel();
    c.signal.addEventListener('abort', cancel, { once: true });
    try {
      c.signal.throwIfAborted();
      for await (const message of call) yield message as A;
    } catch (e) {
      c.signal.throwIfAborted();
      throw isServiceError(e) ? pluginError(e) : e;
    } finally {
      c.signal.removeEventListener('abort', cancel);
      call.cancel();
    }
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}

/** In Go's words for a gRPC status. Only a code that says that the call has ended without effect is no uncertain one. */
function pluginError(e: ServiceError | null): StatusError {
  const [name, kind] = CODES[e?.code ?? 2] ?? ['Unknown', 'Internal'];
  return new StatusError(kind, `rpc error: code = ${name} desc = ${e?.details ?? 'no answer'}`, { cause: e });
}

function isServiceError(e: unknown): e is ServiceError {
  return e instanceof Error && 'code' in e && typeof e.code === 'number';
}
