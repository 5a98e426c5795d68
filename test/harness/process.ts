/** Real servers for integration tests: started on free loopback ports, killed at the end, nothing left behind. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { realRandom } from '#lib/base';
import { limitMs } from './time-limit.ts';

/** Below what the kernel gives to connections and to port 0 by itself, and below node ports: free until somebody asks for it. */
const PORTS = { from: 15_000, to: 30_000 } as const;

export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = PORTS.from + realRandom.below(PORTS.to - PORTS.from);
    if (await isFree(port)) return port;
  }
  throw new Error(`no free port from ${PORTS.from} to ${PORTS.to}`);
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return true;
  } catch {
    return false; // Somebody has it.
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}

/** Until something accepts on the port. */
export async function untilListening(port: number, timeoutMs = 30_000): Promise<void> {
  const end = performance.now() + limitMs(timeoutMs);
  for (;;) {
    const socket = connect(port, '127.0.0.1');
    try {
      await once(socket, 'connect');
      return;
    } catch (e) {
      if (performance.now() > end) throw new Error(`nothing listens on port ${port}`, { cause: e });
      await delay(20);
    } finally {
      socket.destroy();
    }
  }
}

/** One child process that can be killed and started again with the same arguments. */
export class ServerProcess implements AsyncDisposable {
  readonly #command: string;
  readonly #args: readonly string[];
  readonly #port: number;
  #child: ChildProcess | undefined;
  #output = '';

  constructor(command: string, args: readonly string[], port: number) {
    this.#command = command;
    this.#args = args;
    this.#port = port;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  async start(): Promise<void> {
    const child = spawn(this.#command, [...this.#args], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    const keep = (piece: Buffer): void => {
      this.#output = (this.#output + piece.toString()).slice(-8_000);
    };
    child.stdout?.on('data', keep);
    child.stderr?.on('data', keep);
    const exited = once(child, 'exit').then(([code]) => {
      throw new Error(`${this.#command} ended with ${code}: ${this.#output}`);
    });
    exited.catch(() => undefined);
    await Promise.race([untilListening(this.#port), exited]);
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill(signal);
    await gone;
  }

  /** SIGSTOP, SIGCONT: a server that hangs. */
  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

/** Polls until `check` holds; tests wait with it instead of sleeping. */
export async function eventually(
  check: () => boolean | Promise<boolean>,
  what: string,
  timeoutMs = 20_000,
): Promise<void> {
  const end = performance.now() + limitMs(timeoutMs);
  while (!(await check())) {
    if (performance.now() > end) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await delay(10);
  }
}
