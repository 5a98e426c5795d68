/**
 * A node for probes: logs are one line, exec says its command, attach gives back what it gets in capitals, and so does port
 * ECHO_PORT; every other port of its pods and of itself is one small HTTP server that says what it was asked.
 */
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import type { NodeStream, NodeStreamRequest, NodeStreams } from '#lib/client';

export const NODE_NAME = 'probe-node';
export const ECHO_PORT = 7;
export const HTTP_PORT = 8080;
export const LOG_LINE = 'a line of a log\n';

interface Io {
  readonly stdin: PassThrough;
  readonly stdout: PassThrough;
  readonly stderr: PassThrough;
}

export class ProbeNode implements NodeStreams, AsyncDisposable {
  readonly #web: Server;
  readonly #sockets = new Set<Socket>();
  /** Of a `stats` stream. */
  stats = '';

  private constructor(web: Server) {
    this.#web = web;
  }

  static async open(): Promise<ProbeNode> {
    const web = createServer((req, res) => void res.end(`${req.method} ${req.url}`));
    await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve));
    return new ProbeNode(web);
  }

  async openStream(_node: string, request: NodeStreamRequest): Promise<NodeStream> {
    const io: Io = { stdin: new PassThrough(), stdout: new PassThrough(), stderr: new PassThrough() };
    const result = this.#run(request, io).then(() => {
      io.stdout.end();
      io.stderr.end();
      return { exitCode: 0 };
    });
    result.catch(() => undefined);
    const dispose = async (): Promise<void> => void io.stdin.destroy();
    return { ...io, result, resize: () => undefined, [Symbol.asyncDispose]: dispose };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#web.closeAllConnections();
    await new Promise((resolve) => this.#web.close(resolve));
  }

  async #run(request: NodeStreamRequest, io: Io): Promise<void> {
    switch (request.kind) {
      case 'logs':
        io.stdout.write(LOG_LINE);
        return;
      case 'exec':
        io.stdout.write((request.command ?? []).join(' '));
        return;
      case 'stats':
        io.stdout.write(this.stats);
        return;
      case 'attach':
        return await inCapitals(io);
      case 'portforward':
      case 'podforward':
      case 'nodeforward':
        return request.port === ECHO_PORT ? await inCapitals(io) : await this.#toWeb(io);
    }
  }

  /** Until the HTTP server's side is closed. */
  async #toWeb(io: Io): Promise<void> {
    const { port } = this.#web.address() as AddressInfo;
    const socket = connect({ host: '127.0.0.1', port });
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    io.stdin.on('close', () => socket.destroy());
    io.stdin.pipe(socket);
    socket.pipe(io.stdout, { end: false });
    await new Promise((resolve) => socket.once('close', resolve));
    this.#sockets.delete(socket);
  }
}

async function inCapitals({ stdin, stdout }: Io): Promise<void> {
  for await (const chunk of stdin) stdout.write(String(chunk).toUpperCase());
}
