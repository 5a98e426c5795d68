/** A small SPDY/3.1 client for the tests of this folder: enough to speak as kubectl does. */
import { type ClientRequest, request } from 'node:http';
import { Duplex } from 'node:stream';
import { HeaderPacker, HeaderUnpacker } from './spdy-headers.ts';

const FIN = 1;

export class ClientStream {
  readonly #client: SpdyClient;
  readonly #id: number;
  #chunks: Buffer[] = [];
  #ended = false;
  #reset: number | undefined;
  #wake = (): void => undefined;

  constructor(client: SpdyClient, id: number) {
    this.#client = client;
    this.#id = id;
  }

  write(bytes: Buffer): void {
    this.#client.data(this.#id, 0, bytes);
  }

  end(): void {
    this.#client.data(this.#id, FIN, Buffer.alloc(0));
  }

  /** All that came, when the server has ended the stream. */
  async text(): Promise<string> {
    while (!this.#ended) await this.#changed();
    return Buffer.concat(this.#chunks).toString('latin1');
  }

  /** The status of the server's RST_STREAM. */
  async reset(): Promise<number> {
    while (this.#reset === undefined) await this.#changed();
    return this.#reset;
  }

  receive(bytes: Buffer, isLast: boolean): void {
    this.#chunks.push(bytes);
    this.#ended ||= isLast;
    this.#wake();
  }

  receiveReset(status: number): void {
    this.#reset = status;
    this.#wake();
  }

  #changed(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}

export class SpdyClient {
  readonly protocol: string;
  readonly closed: Promise<void>;
  readonly #socket: Duplex;
  readonly #streams = new Map<number, ClientStream>();
  readonly #packer = new HeaderPacker();
  readonly #unpacker = new HeaderUnpacker();
  /** Frames in order, behind the headers that are packed asynchronously. */
  #out: Promise<void> = Promise.resolve();
  #nextId = 1;
  #onPing: (id: number) => void = () => undefined;

  constructor(socket: Duplex, protocol: string) {
    this.#socket = socket;
    this.protocol = protocol;
    this.closed = this.#run();
  }

  static async connect(
    port: number,
    protocols: readonly string[],
    o: { allowHalfOpen?: boolean } = {},
  ): Promise<SpdyClient> {
    const req: ClientRequest = request({
      port,
      host: '127.0.0.1',
      method: 'POST',
      headers: { Connection: 'Upgrade', Upgrade: 'SPDY/3.1', 'X-Stream-Protocol-Version': protocols.join(', ') },
    });
    return new Promise((resolve, reject) => {
      req.once('upgrade', (res, socket, head) => {
        socket.unshift(head);
        socket.allowHalfOpen = o.allowHalfOpen ?? false;
        resolve(new SpdyClient(socket, String(res.headers['x-stream-protocol-version'] ?? '')));
      });
      req.once('response', (res) => reject(new Error(`status ${res.statusCode}`)));
      req.once('error', reject);
      req.end();
    });
  }

  /** In binary WebSocket messages. By hand, because ws refuses a subprotocol with a slash, also as a client. */
  static async overWebSocket(port: number, protocol: string): Promise<SpdyClient> {
    const headers = {
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Version': '13',
      'Sec-WebSocket-Key': 'AAAAAAAAAAAAAAAAAAAAAA==',
      'Sec-WebSocket-Protocol': protocol,
    };
    const req = request({ port, host: '127.0.0.1', headers });
    return new Promise((resolve, reject) => {
      req.once('upgrade', (res, socket, head) => {
        socket.unshift(head);
        resolve(new SpdyClient(messages(socket), String(res.headers['sec-websocket-protocol'])));
      });
      req.once('response', (res) => reject(new Error(`status ${res.statusCode}`)));
      req.once('error', reject);
      req.end();
    });
  }

  open(headers: Readonly<Record<string, string>>): ClientStream {
    const id = this.#nextId;
    this.#nextId += 2;
    const stream = new ClientStream(this, id);
    this.#streams.set(id, stream);
    this.#out = this.#out.then(async () => {
      const block = await this.#packer.pack(new Map(Object.entries(headers)));
      const head = Buffer.alloc(10);
      head.writeUInt32BE(id);
      this.#control(1, Buffer.concat([head, block]));
    });
    return stream;
  }

  data(id: number, flags: number, bytes: Buffer): void {
    this.#out = this.#out.then(() => {
      const head = Buffer.alloc(8);
      head.writeUInt32BE(id);
      head.writeUInt32BE(flags * 0x1000000 + bytes.length, 4);
      this.#socket.write(Buffer.concat([head, bytes]));
    });
  }

  control(type: number, payload: Buffer): void {
    this.#out = this.#out.then(() => this.#control(type, payload));
  }

  raw(bytes: Buffer): void {
    this.#out = this.#out.then(() => void this.#socket.write(bytes));
  }

  ping(id: number): Promise<number> {
    const payload = Buffer.alloc(4);
    payload.writeUInt32BE(id);
    this.control(6, payload);
    return new Promise((resolve) => {
      this.#onPing = resolve;
    });
  }

  end(): void {
    this.#out = this.#out.then(() => void this.#socket.end());
  }

  #control(type: number, payload: Buffer): void {
    const head = Buffer.alloc(8);
    head.writeUInt32BE(0x80030000 + type);
    head.writeUInt32BE(payload.length, 4);
    this.#socket.write(Buffer.concat([head, payload]));
  }

  async #run(): Promise<void> {
    let pending = Buffer.alloc(0);
    try {
      for await (const chunk of this.#socket) {
        pending = Buffer.concat([pending, chunk as Buffer]);
        while (pending.length >= 8 && pending.length >= 8 + pending.readUIntBE(5, 3)) {
          const length = pending.readUIntBE(5, 3);
          const payload = pending.subarray(8, 8 + length);
          await this.#receive(pending.readUInt32BE(0), pending.readUInt8(4), payload);
          pending = pending.subarray(8 + length);
        }
      }
    } catch {
      // A reset by the server is an end as well.
    }
    this.#packer.close();
    this.#unpacker.close();
    this.#socket.destroy();
  }

  async #receive(first: number, flags: number, payload: Buffer): Promise<void> {
    if (first < 0x80000000) {
      this.#streams.get(first)?.receive(payload, (flags & FIN) !== 0);
      return;
    }
    const type = first & 0xffff;
    if (type === 2) await this.#unpacker.unpack(payload.subarray(4));
    else if (type === 3) this.#streams.get(payload.readUInt32BE(0))?.receiveReset(payload.readUInt32BE(4));
    else if (type === 6) this.#onPing(payload.readUInt32BE(0));
  }
}

/** The bytes inside the binary messages of a WebSocket client (RFC 6455 §5.2, masked with zeros). */
function messages(socket: Duplex): Duplex {
  const frame = (opcode: number, bytes: Buffer): Buffer => {
    const head = Buffer.alloc(14);
    head.writeUInt8(0x80 | opcode);
    head.writeUInt8(0x80 | 127, 1);
    head.writeBigUInt64BE(BigInt(bytes.length), 2);
    return Buffer.concat([head, bytes]);
  };
  const stream = new Duplex({
    read: () => socket.resume(),
    write: (chunk: Buffer, _encoding, callback) => void socket.write(frame(2, chunk), callback),
    final: (callback) => void socket.write(frame(8, Buffer.alloc(0)), callback),
  });
  let pending = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk]);
    for (let size = frameSize(pending); size !== undefined; size = frameSize(pending)) {
      const opcode = pending.readUInt8() & 0xf;
      if (opcode === 2 || opcode === 0) stream.push(pending.subarray(size.head, size.head + size.body));
      pending = pending.subarray(size.head + size.body);
    }
  });
  socket.once('close', () => stream.push(null));
  return stream;
}

/** Of the first frame, if it is complete. */
function frameSize(bytes: Buffer): { head: number; body: number } | undefined {
  if (bytes.length < 2) return undefined;
  const short = bytes.readUInt8(1) & 0x7f;
  const head = short === 127 ? 10 : short === 126 ? 4 : 2;
  if (bytes.length < head) return undefined;
  const body = short === 127 ? Number(bytes.readBigUInt64BE(2)) : short === 126 ? bytes.readUInt16BE(2) : short;
  return bytes.length < head + body ? undefined : { head, body };
}
