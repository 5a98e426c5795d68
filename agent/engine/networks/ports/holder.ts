/**
 * Ports of the host that containers have: each is held by a socket, so nobody else gets it, and one that somebody has is
 * refused. Packets are led away by the packet filter before they reach it. What it cannot lead comes to the socket and is passed
 * on from here: connections to ::1, and to an IPv6 address of the host where the container has none.
 * Source: moby cmd/docker-proxy, libnetwork/portallocator (words of the errors).
 */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { pipeline } from 'node:stream';
import { EngineError } from '../../http/contract.ts';
import type { HeldPort, PortProtocol, WantedPort } from './bindings.ts';

const EPHEMERAL_TRIES = 16;
const CONNECTIONS_MAX = 4096;

/** Of a container, now: where its port is; undefined = nowhere. */
export type TargetOf = (port: HeldPort) => { readonly host: string; readonly port: number } | undefined;

interface Holding {
  readonly port: HeldPort;
  close(): Promise<void>;
}

export class PortHolder {
  readonly #held = new Map<string, Holding[]>();

  /** All or none. EngineError 500 "Bind for IP:PORT failed: port is already allocated". */
  async hold(id: string, wanted: readonly WantedPort[], targetOf: TargetOf): Promise<readonly HeldPort[]> {
    const got: Holding[] = [];
    try {
      for (const w of wanted) got.push(...(await this.#holdOne(w, targetOf)));
    } catch (e) {
      await Promise.all(got.map((h) => h.close()));
      throw e;
    }
    this.#held.set(id, [...(this.#held.get(id) ?? []), ...got]);
    return got.map((h) => h.port);
  }

  /** The ports of before a restart, as many as there are; gives those that somebody else has by now. */
  async holdAgain(id: string, ports: readonly HeldPort[], targetOf: TargetOf): Promise<readonly HeldPort[]> {
    const lost: HeldPort[] = [];
    const got: Holding[] = [];
    try {
      for (const port of ports) {
        const holding = await this.#listen(port, targetOf);
        if (holding === undefined) lost.push(port);
        else got.push(holding);
      }
    } catch (e) {
      await Promise.all(got.map((h) => h.close()));
      throw e;
    }
    this.#held.set(id, got);
    return lost;
  }

  has(id: string): boolean {
    return this.#held.has(id);
  }

  async release(id: string): Promise<void> {
    const holdings = this.#held.get(id) ?? [];
    this.#held.delete(id);
    await Promise.all(holdings.map((h) => h.close()));
  }

  async releaseAll(): Promise<void> {
    for (const id of [...this.#held.keys()]) await this.release(id);
  }

  async #holdOne(w: WantedPort, targetOf: TargetOf): Promise<Holding[]> {
    if (w.first === 0) {
      for (let i = 0; i < EPHEMERAL_TRIES; i++) {
        const got = await this.#holdPort(w, 0, targetOf);
        if (got !== undefined) return got;
      }
    }
    for (let port = w.first; port > 0 && port <= w.last; port++) {
      const got = await this.#holdPort(w, port, targetOf);
      if (got !== undefined) return got;
    }
    const ip = w.hostIps[0] ?? '0.0.0.0';
    const range = w.last > w.first ? `${w.first}-${w.last}` : String(w.first);
    throw new EngineError(
      500,
      `Bind for ${ip.includes(':') ? `[${ip}]` : ip}:${range} failed: port is already allocated`,
    );
  }

  /** On all of its addresses or none. */
  async #holdPort(w: WantedPort, port: number, targetOf: TargetOf): Promise<Holding[] | undefined> {
    const got: Holding[] = [];
    let hostPort = port;
    for (const hostIp of w.hostIps) {
      const { protocol, containerPort } = w;
      const holding = await this.#listen({ protocol, containerPort, hostIp, hostPort }, targetOf);
      if (holding === undefined) {
        await Promise.all(got.map((h) => h.close()));
        return undefined;
      }
      hostPort = holding.port.hostPort;
      got.push(holding);
    }
    return got;
  }

  /** undefined: somebody has it. */
  async #listen(port: HeldPort, targetOf: TargetOf): Promise<Holding | undefined> {
    try {
      if (port.protocol === 'sctp') return this.#holdByName(port);
      return await (port.protocol === 'tcp' ? listenTcp : listenUdp)(port, targetOf);
    } catch (e) {
      const code = e instanceof Error && 'code' in e ? e.code : undefined;
      if (code === 'EADDRINUSE') return undefined;
      const why =
        code === 'EADDRNOTAVAIL' ? 'cannot assign requested address' : String(e instanceof Error ? e.message : e);
      throw new EngineError(500, `failed to bind host port ${port.hostIp}:${port.hostPort}/${port.protocol}: ${why}`);
    }
  }

  /** There are no such sockets here: the engine's own containers do not share one, that is all. */
  #holdByName(port: HeldPort): Holding | undefined {
    const taken = new Set([...this.#held.values()].flat().map((h) => keyOf(h.port)));
    const { hostPort } = port;
    if (hostPort === 0) throw new EngineError(500, 'an SCTP port of the host must be named');
    if (taken.has(keyOf(port))) return undefined;
    return { port, close: () => Promise.resolve() };
  }
}

function keyOf(p: { hostIp: string; protocol: PortProtocol; hostPort: number }): string {
  return `${p.hostIp} ${p.protocol} ${p.hostPort}`;
}

async function listenTcp(wanted: HeldPort, targetOf: TargetOf): Promise<Holding> {
  const sockets = new Set<Socket>();
  const server: Server = createServer({ allowHalfOpen: true });
  server.maxConnections = CONNECTIONS_MAX;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: wanted.hostIp, port: wanted.hostPort, ipv6Only: true, exclusive: true }, resolve);
  });
  const address = server.address();
  const port = {
    ...wanted,
    hostPort: typeof address === 'object' && address !== null ? address.port : wanted.hostPort,
  };
  server.on('error', () => undefined);
  server.on('connection', (client) => {
    const target = targetOf(port);
    if (target === undefined) {
      client.resetAndDestroy();
      return;
    }
    const upstream = connect({ host: target.host, port: target.port, allowHalfOpen: true });
    for (const s of [client, upstream]) {
      sockets.add(s);
      s.on('close', () => sockets.delete(s));
    }
    const cut = (): void => {
      client.destroy();
      upstream.destroy();
    };
    // A failure of one way ends both; an orderly end is passed on.
    pipeline(client, upstream, (e) => e && cut());
    pipeline(upstream, client, (e) => e && cut());
  });
  server.unref();
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve());
      for (const s of sockets) s.destroy();
    });
  return { port, close };
}

/** Datagrams that come to the socket itself are read and dropped: a full queue would hold their memory. */
async function listenUdp(wanted: HeldPort): Promise<Holding> {
  const isIpv6 = wanted.hostIp.includes(':');
  const socket: UdpSocket = createSocket({ type: isIpv6 ? 'udp6' : 'udp4', ipv6Only: isIpv6 });
  const close = (): Promise<void> => new Promise((resolve) => socket.close(() => resolve()));
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.bind({ address: wanted.hostIp, port: wanted.hostPort, exclusive: true }, resolve);
    });
  } catch (e) {
    await close().catch(() => undefined);
    throw e;
  }
  socket.on('error', () => undefined);
  socket.on('message', () => undefined);
  socket.unref();
  return { port: { ...wanted, hostPort: socket.address().port }, close };
}
