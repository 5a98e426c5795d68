/** A TCP proxy on loopback that can cut connections, refuse new ones, swallow bytes (a half-open peer) and be slow. */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { realClock } from '#lib/base';

export class CuttingProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #pairs = new Set<{ near: Socket; far: Socket }>();
  readonly #dead = new WeakSet<Socket>();
  #mode: 'pass' | 'refuse' | 'swallow' = 'pass';
  /** Connections accepted so far. */
  accepted = 0;

  readonly #delayMs: number;

  private constructor(server: Server, delayMs: number) {
    this.#server = server;
    this.#delayMs = delayMs;
  }

  /** `delayMs`: of every byte, in each direction. */
  static async start(targetPort: number, o: { delayMs?: number } = {}): Promise<CuttingProxy> {
    const server = createServer();
    const proxy = new CuttingProxy(server, o.delayMs ?? 0);
    server.on('connection', (near) => proxy.#accept(near, targetPort));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return proxy;
  }

  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('the proxy is closed');
    return address.port;
  }

  /** Resets every connection. */
  cut(): void {
    for (const { near, far } of [...this.#pairs]) {
      near.resetAndDestroy();
      far.resetAndDestroy();
    }
  }

  /** `refuse`: also cuts; `swallow`: connections stay open and nothing arrives any more. */
  setMode(mode: 'pass' | 'refuse' | 'swallow'): void {
    this.#mode = mode;
    if (mode === 'refuse') this.cut();
  }

  /** Connections swallowed so far stay dead; new ones pass. */
  passNew(): void {
    for (const pair of this.#pairs) this.#dead.add(pair.near);
    this.#mode = 'pass';
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    this.cut();
    await once(this.#server, 'close');
  }

  #accept(near: Socket, targetPort: number): void {
    near.on('error', () => near.destroy());
    if (this.#mode === 'refuse') {
      near.resetAndDestroy();
      return;
    }
    this.accepted++;
    const far = connect(targetPort, '127.0.0.1');
    far.on('error', () => far.destroy());
    const pair = { near, far };
    this.#pairs.add(pair);
    this.#forward(near, near, far);
    this.#forward(near, far, near);
    const close = (): void => {
      this.#pairs.delete(pair);
      near.destroy();
      far.destroy();
    };
    near.on('close', close);
    far.on('close', close);
  }

  #forward(near: Socket, from: Socket, to: Socket): void {
    from.on('data', (piece) => {
      if (this.#mode === 'swallow' || this.#dead.has(near)) return;
      if (this.#delayMs > 0) {
        realClock.after(this.#delayMs, () => to.write(piece));
      } else if (!to.write(piece)) {
        from.pause();
        to.once('drain', () => from.resume());
      }
    });
    from.on('end', () => to.end());
  }
}
