/**
 * Streams that other servers ask for toward nodes whose sessions are here: their frames are passed on as they are, both ways,
 * with back-pressure. What came by this door is never sent on to a third server.
 */
import type { Timer } from '#lib/base';
import { type Ctx, StatusError } from '#lib/base';
import type { Frame__Output } from '#proto/gen/berth/streams/v1/Frame.ts';
import type { StreamCall } from './relay.ts';
import { failCall } from './service-error.ts';

/** Streams at once; a server that is asked for more is not the only one, or the cluster is ill. */
const STREAMS_MAX = 1_000;
const FIRST_FRAME_MS = 10_000;

export class RelayDoor {
  readonly #openCall: (nodeName: string, c: Ctx) => Promise<StreamCall>;
  readonly #c: Ctx;
  readonly #open = new Set<StreamCall>();

  /** `openCall` throws Conflict where the node has no session here. */
  constructor(openCall: (nodeName: string, c: Ctx) => Promise<StreamCall>, c: Ctx) {
    this.#openCall = openCall;
    this.#c = c;
  }

  /** A call of Streams.Relay by another server. */
  accept(call: StreamCall): void {
    if (this.#open.size >= STREAMS_MAX) {
      failCall(call, new StatusError('TooManyRequests', `${STREAMS_MAX} streams are relayed already`));
      return;
    }
    this.#open.add(call);
    const gone = new AbortController();
    const late = this.#c.clock.after(FIRST_FRAME_MS, () =>
      failCall(call, new StatusError('DeadlineExceeded', 'no node was named')),
    );
    const forget = (): void => {
      late.cancel();
      this.#open.delete(call);
      gone.abort(new StatusError('Cancelled', 'the other server went away'));
    };
    for (const event of ['close', 'error', 'cancelled']) call.on(event, forget);
    call.once('data', (first: Frame__Output) => void this.#serve(call, first, { late, gone: gone.signal }));
  }

  closeAll(e: StatusError): void {
    for (const call of [...this.#open]) failCall(call, e);
  }

  async #serve(call: StreamCall, first: Frame__Output, o: { late: Timer; gone: AbortSignal }): Promise<void> {
    o.late.cancel();
    call.pause();
    let node: StreamCall;
    try {
      if (!first.relay) throw new StatusError('BadRequest', 'the first frame names no node');
      const signal = AbortSignal.any([this.#c.signal, o.gone]);
      node = await this.#openCall(first.relay.node_name, { ...this.#c, signal });
    } catch (e) {
      if (!o.gone.aborted) failCall(call, e);
      return;
    }
    if (o.gone.aborted) {
      failCall(node, new StatusError('Cancelled', 'the client went away'));
      return;
    }
    splice(call, node);
    call.write({ hello: { stream_id: '' } });
    call.resume();
    node.resume();
  }
}

/** Each side ends with its End frame; one that breaks before breaks the other. */
function splice(caller: StreamCall, node: StreamCall): void {
  const ended = { caller: false, node: false };
  let isOver = false;
  const finish = (): void => {
    if (isOver || !ended.caller || !ended.node) return;
    isOver = true;
    if (!node.destroyed) node.end();
    if (!caller.destroyed) caller.end();
  };
  const broken = (to: StreamCall, e: StatusError): void => {
    if (isOver) return;
    isOver = true;
    failCall(to, e);
  };
  pass(caller, node, () => {
    ended.caller = true;
    finish();
  });
  pass(node, caller, () => {
    ended.node = true;
    finish();
  });
  for (const event of ['end', 'error', 'close', 'cancelled']) {
    caller.on(event, () => {
      if (!ended.caller) broken(node, new StatusError('Cancelled', 'the client went away'));
    });
    node.on(event, () => {
      if (!ended.node) broken(caller, new StatusError('Unavailable', 'the node was disconnected'));
    });
  }
}

function pass(from: StreamCall, to: StreamCall, onEnd: () => void): void {
  from.on('data', (frame: Frame__Output) => {
    if (!to.destroyed && !to.write(frame)) {
      from.pause();
      to.once('drain', () => from.resume());
    }
    if (frame.end) onEnd();
  });
}
