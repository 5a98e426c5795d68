/**
 * Exec, attach, logs and port-forward toward a node: the gateway asks on the control stream, the agent opens a stream on its
 * second connection, and bytes flow there, so that bulk never delays a heartbeat.
 *
 * Life of one: `openCall` -> OpenStream{id} down -> the agent calls Streams.Open and says hello with the id -> the request
 * goes down -> data both ways -> End from the node settles `result`. An id is good once, for 10 seconds, and only for
 * the node it was given to.
 */
import type { ServerDuplexStream } from '@grpc/grpc-js';
import { type Ctx, type Random, raceAbort, StatusError, type Timer } from '#lib/base';
import type { Frame, Frame__Output } from '#proto/gen/berth/streams/v1/Frame.ts';
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

  /**
   * The node's call, paused, before anything was asked of it: its first frame is to be the request. `ask` sends the stream
   * id to the node.
   */
  async openCall(nodeName: string, ask: (id: string) => void, c: Ctx): Promise<StreamCall> {
    return await this.#answered(this.#random.hex(16), nodeName, ask, c);
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
