/**
 * Exec, attach, logs and port-forward toward a node: the gateway asks on the control stream, the agent opens a stream on its
 * second connection, and bytes flow there, so that bulk never delays a heartbeat.
 *
 * Life of one: `openStream` -> OpenStream{id} down -> the agent calls Streams.Open and says hello with the id -> the request
 * goes down -> data both ways -> End from the node settles `result`. An id is good once, for 10 seconds, and only for
 * the node it was given to.
 */
import type { ServerDuplexStream } from '@grpc/grpc-js';
import { type Ctx, type Random, raceAbort, StatusError, type Timer } from '#lib/base';
import type { LogRequest, NodeStream, NodeStreamRequest } from '#lib/client';
import { FrameChannels, type Outcome, STDERR, STDIN, STDOUT } from '#proto/channels.ts';
import type { Frame, Frame__Output } from '#proto/gen/berth/streams/v1/Frame.ts';
import type { Request } from '#proto/gen/berth/streams/v1/Request.ts';
import { failCall } from './service-error.ts';

export type StreamCall = ServerDuplexStream<Frame__Output, Frame>;

interface Expected {
  readonly nodeName: string;
  readonly resolve: (call: StreamCall) => void;
  readonly reject: (e: StatusError) => void;
}

const ANSWER_MS = 10_000;

export class Relay {
  readonly #random: Random;
  readonly #expected = new Map<string, Expected>();
  readonly #open = new Set<StreamCall>();

  constructor(random: Random) {
    this.#random = random;
  }

  /** `ask` sends the stream id to the node. */
  async openStream(
    nodeName: string,
    request: NodeStreamRequest,
    ask: (id: string) => void,
    c: Ctx,
  ): Promise<NodeStream> {
    const id = this.#random.hex(16);
    const call = await this.#answered(id, nodeName, ask, c);
    return relayed(call, request);
  }

  /** A call of Streams.Open by the node that its certificate names. */
  accept(call: StreamCall, nodeName: string): void {
    this.#open.add(call);
    const forget = (): void => void this.#open.delete(call);
    call.on('close', forget);
    call.on('error', forget);
    call.once('data', (first: Frame__Output) => {
      const id = first.hello?.stream_id ?? '';
      const expected = this.#expected.get(id);
      if (expected === undefined || expected.nodeName !== nodeName) {
        failCall(call, new StatusError('NotFound', 'nobody waits for this stream'));
        return;
      }
      this.#expected.delete(id);
      // Nothing is lost between: FrameChannels listens before the next frame is read.
      call.pause();
      expected.resolve(call);
    });
  }

  /** The node's session ended: what waits for an answer of it need not wait on. */
  forget(nodeName: string): void {
    for (const e of this.#expected.values())
      if (e.nodeName === nodeName) e.reject(new StatusError('Unavailable', `node ${nodeName} was disconnected`));
  }

  closeAll(e: StatusError): void {
    for (const call of [...this.#open]) failCall(call, e);
  }

  async #answered(id: string, nodeName: string, ask: (id: string) => void, c: Ctx): Promise<StreamCall> {
    let timer: Timer | undefined;
    try {
      const answer = new Promise<StreamCall>((resolve, reject) => {
        this.#expected.set(id, { nodeName, resolve, reject });
        timer = c.clock.after(ANSWER_MS, () =>
          reject(
            new StatusError(
              'DeadlineExceeded',
              `node ${nodeName} did not open the stream within ${ANSWER_MS / 1000} s`,
            ),
          ),
        );
      });
      ask(id);
      return await raceAbort(answer, c.signal);
    } finally {
      timer?.cancel();
      this.#expected.delete(id);
    }
  }
}

function relayed(call: StreamCall, request: NodeStreamRequest): NodeStream {
  let settle: (o: Outcome) => void = () => undefined;
  const result = new Promise<{ exitCode: number }>((resolve, reject) => {
    settle = (o) => ('error' in o ? reject(o.error) : resolve(o));
  });
  // A caller that only reads the output need not look at the result.
  result.catch(() => undefined);
  let isOver = false;
  const channels = new FrameChannels(call, {
    onEnd: (o) => {
      isOver = true;
      settle(o);
      channels.sendEnd({ exitCode: 0 });
      if (!call.destroyed) call.end();
    },
  });
  const stdin = channels.writable(STDIN);
  const stdout = channels.readable(STDOUT);
  const stderr = channels.readable(STDERR);
  call.write({ request: requestFrame(request) });
  call.resume();
  return {
    stdin,
    stdout,
    stderr,
    result,
    resize: (width, height) => channels.resize(width, height),
    async [Symbol.asyncDispose]() {
      if (!isOver) failCall(call, new StatusError('Cancelled', 'the client went away'));
    },
  };
}

const KINDS = { logs: 'LOGS', exec: 'EXEC', attach: 'ATTACH', portforward: 'PORT_FORWARD', stats: 'STATS' } as const;

function requestFrame(r: NodeStreamRequest): Request {
  return {
    kind: KINDS[r.kind],
    pod_uid: r.pod.uid,
    namespace: r.pod.namespace,
    pod: r.pod.name,
    container: r.container,
    command: [...(r.command ?? [])],
    stdin: r.stdin ?? false,
    stdout: r.stdout ?? false,
    stderr: r.stderr ?? false,
    tty: r.tty ?? false,
    port: r.port ?? 0,
    logs: logOptions(r.logs ?? {}),
    path: r.path ?? '',
  };
}

function logOptions(l: LogRequest): NonNullable<Request['logs']> {
  return {
    follow: l.follow ?? false,
    previous: l.previous ?? false,
    timestamps: l.timestamps ?? false,
    since_seconds: l.sinceSeconds ?? -1,
    since_time: l.sinceTime ?? '',
    tail_lines: l.tailLines ?? -1,
    limit_bytes: l.limitBytes ?? -1,
    stream: l.stream ?? '',
  };
}
