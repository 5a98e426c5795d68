/**
 * The DNS server of one node, for its pods: the cluster's zone from memory, everything else from the node's own resolvers.
 * UDP, and TCP (RFC 7766: many questions on one connection, idle ones are closed). What is answered: answerer.ts.
 */
import type { RemoteInfo, Socket as UdpSocket } from 'node:dgram';
import { createSocket } from 'node:dgram';
import type { Server, Socket } from 'node:net';
import { createServer } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Ctx } from '#lib/base';
import { StatusError } from '#lib/base';
import { Answerer, type DnsZone } from './answerer.ts';
import { Clients } from './clients.ts';
import type { Upstream } from './upstream.ts';

const TCP_CONNECTIONS_MAX = 256;
/** Of one address: the other pods have connections left. */
export const TCP_CONNECTIONS_OF_ONE_MAX = 64;
const TCP_IDLE_MS = 10_000;

export interface DnsServer extends AsyncDisposable {
  readonly port: number;
}

/** Listens on `host`; `zone` is asked for each question, so a new one takes effect at once. */
export async function startDnsServer(
  o: { host: string; port: number; zone: () => DnsZone; upstream: Pick<Upstream, 'ask'> },
  c: Ctx,
): Promise<DnsServer> {
  const answerer = new Answerer(o.zone, o.upstream, c);
  const { udp, tcp } = await listen(o.host, o.port);
  const clients = new Clients();
  const sockets = new Set<Socket>();
  udp.on('error', (err) => c.log.warn({ err }, 'DNS over UDP failed'));
  udp.on('message', (message, from) => void answerUdp(answerer, clients, udp, { message, from }));
  tcp.maxConnections = TCP_CONNECTIONS_MAX;
  tcp.on('connection', (socket) => {
    const address = socket.remoteAddress ?? '';
    const client = clients.enter(address);
    client.connections++;
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      sockets.delete(socket);
      client.connections--;
      clients.leave(address, client);
    });
    socket.setTimeout(TCP_IDLE_MS, () => socket.destroy());
    if (client.connections > TCP_CONNECTIONS_OF_ONE_MAX) socket.destroy();
    else serveTcp((message) => answerer.answer(message, 'tcp', client), socket);
  });
  return {
    port: udp.address().port,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await Promise.all([closeUdp(udp), new Promise<void>((resolve) => tcp.close(() => resolve()))]);
    },
  };
}

async function answerUdp(
  answerer: Answerer,
  clients: Clients,
  socket: UdpSocket,
  { message, from }: { message: Buffer; from: RemoteInfo },
): Promise<void> {
  const client = clients.enter(from.address);
  const reply = await answerer.answer(message, 'udp', client);
  clients.leave(from.address, client);
  if (reply === undefined) return;
  try {
    socket.send(reply, from.port, from.address);
  } catch {
    // The socket was closed while the question was being answered: the client asks again.
  }
}

/** In order, one at a time, and the next when the answer before it is taken: who sends without reading is held back. */
export function serveTcp(answer: (message: Buffer) => Promise<Buffer | undefined>, socket: Duplex): void {
  let received = Buffer.alloc(0);
  let isAnswering = false;
  const take = async (): Promise<void> => {
    isAnswering = true;
    socket.pause();
    while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0) && !socket.destroyed) {
      const message = Buffer.from(received.subarray(2, 2 + received.readUInt16BE(0)));
      received = received.subarray(2 + message.length);
      const reply = await answer(message);
      if (reply !== undefined && !socket.destroyed) await written(socket, reply);
    }
    isAnswering = false;
    socket.resume();
  };
  socket.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    if (!isAnswering) void take();
  });
}

/** Resolves when the client's end has taken it, or is gone. */
function written(socket: Duplex, reply: Buffer): Promise<void> {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(reply.length);
  return new Promise((resolve) => socket.write(Buffer.concat([length, reply]), () => resolve()));
}

async function listen(host: string, port: number): Promise<{ udp: UdpSocket; tcp: Server }> {
  const udp = createSocket({ type: 'udp4', reuseAddr: false });
  try {
    await new Promise<void>((resolve, reject) => {
      udp.once('error', reject);
      udp.bind(port, host, () => {
        udp.off('error', reject);
        resolve();
      });
    });
    const tcp = createServer();
    await new Promise<void>((resolve, reject) => {
      tcp.once('error', reject);
      tcp.listen(udp.address().port, host, () => {
        tcp.off('error', reject);
        resolve();
      });
    });
    return { udp, tcp };
  } catch (e) {
    await closeUdp(udp);
    throw new StatusError(
      'Unavailable',
      `DNS cannot listen on ${host} port ${port}: ${e instanceof Error ? e.message : e}`,
      {
        cause: e,
      },
    );
  }
}

function closeUdp(udp: UdpSocket): Promise<void> {
  return new Promise((resolve) => {
    try {
      udp.close(() => resolve());
    } catch {
      // Never bound, or closed already.
      resolve();
    }
  });
}
