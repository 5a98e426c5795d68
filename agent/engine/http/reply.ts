/** The one answer of a request, on a ServerResponse or on a connection that the route takes over. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex, Readable, Writable } from 'node:stream';
import { assert } from '#lib/base';
import { acceptWebSocketStream, upgradeOf } from '#lib/http';
import { badParameter, type EngineReply } from './contract.ts';
import { afterBody, rawHead } from './hijack.ts';

/** Of a route that hijacks; the response is assigned to the socket until it does. */
export interface RawConnection {
  readonly req: IncomingMessage;
  readonly socket: Duplex;
  readonly body: Readable;
  readonly isChunked: boolean;
  /** The socket is no longer the response's. */
  detach(): void;
}

export class Reply implements EngineReply {
  readonly #res: ServerResponse;
  readonly #isHead: boolean;
  readonly #raw: RawConnection | undefined;
  #taken: Duplex | undefined;
  #isBegun = false;

  constructor(res: ServerResponse, o: { readonly isHead: boolean; readonly raw?: RawConnection | undefined }) {
    this.#res = res;
    this.#isHead = o.isHead;
    this.#raw = o.raw;
  }

  get isBegun(): boolean {
    return this.#isBegun;
  }

  /** What was taken over, if it was. */
  get taken(): Duplex | undefined {
    return this.#taken;
  }

  json(status: number, value: unknown, headers: Readonly<Record<string, string>> = {}): void {
    const body = Buffer.from(`${JSON.stringify(value)}\n`);
    this.#begin();
    /* Exactly so: clients compare the whole text. */
    this.#res.writeHead(status, { ...headers, 'Content-Type': 'application/json', 'Content-Length': body.length });
    this.#res.end(this.#isHead ? undefined : body);
  }

  empty(status: number, headers: Readonly<Record<string, string>> = {}): void {
    this.#begin();
    const isBodiless = status === 204 || status === 304;
    this.#res.writeHead(status, isBodiless ? headers : { ...headers, 'Content-Length': 0 });
    this.#res.end();
  }

  stream(
    contentType: string,
    o: { readonly status?: number; readonly headers?: Readonly<Record<string, string>> } = {},
  ): Writable {
    this.#begin();
    this.#res.writeHead(o.status ?? 200, { ...o.headers, 'Content-Type': contentType });
    this.#res.flushHeaders();
    return this.#res;
  }

  hijack(contentType: string): Duplex {
    const raw = this.#raw;
    if (raw === undefined) throw badParameter('this connection cannot be taken over');
    const upgrade = upgradeOf(raw.req);
    this.#begin();
    raw.detach();
    const headers = Object.fromEntries(Object.entries(this.#res.getHeaders()).map(([k, v]) => [k, String(v)]));
    raw.socket.write(rawHead({ contentType, upgrade, headers }));
    this.#taken = raw.isChunked && !raw.body.readableEnded ? afterBody(raw.socket, raw.body) : raw.socket;
    return this.#taken;
  }

  async webSocket(): Promise<Duplex> {
    const raw = this.#raw;
    if (raw === undefined || upgradeOf(raw.req) !== 'websocket')
      throw badParameter('the client is not using the websocket protocol');
    this.#begin();
    raw.detach();
    this.#taken = await acceptWebSocketStream(raw.req, raw.socket, Buffer.alloc(0));
    return this.#taken;
  }

  #begin(): void {
    assert(!this.#isBegun, 'a request is answered once');
    this.#isBegun = true;
  }
}
