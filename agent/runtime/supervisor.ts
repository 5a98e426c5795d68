/**
 * The agent's connection to one container's supervisor (agent/native/supervise.c), open as long as the container lives:
 * it brings the exit the moment it is durable, carries kills, and its end says that the supervisor is done or dead.
 */
import type { Socket } from 'node:net';
import { StatusError } from '#lib/base';
import type { ExitFile, StartedFile } from './bundle.ts';
import { type Deferred, deferred, encodeFrame, readFrames } from './streams.ts';
import { connectUnix } from './unix-socket.ts';

export class SupervisorLink {
  readonly #socket: Socket;
  /** Of the status requests under way, in their order. */
  readonly #answers: Deferred<StartedFile | ExitFile>[] = [];
  readonly #closed: Deferred<void> = deferred();
  #exit: ExitFile | undefined;

  private constructor(socket: Socket, onExit: (e: ExitFile) => void) {
    this.#socket = socket;
    socket.unref();
    readFrames(
      socket,
      (type, payload) => {
        if (type === 'S') this.#answers.shift()?.resolve(JSON.parse(payload.toString()) as StartedFile | ExitFile);
        if (type !== 'E') return;
        this.#exit = JSON.parse(payload.toString()) as ExitFile;
        onExit(this.#exit);
      },
      () => {
        const error = new StatusError('Unavailable', 'the supervisor has ended');
        for (const answer of this.#answers.splice(0)) answer.reject(error);
        this.#closed.resolve();
      },
    );
  }

  /** Undefined when no supervisor listens there. */
  static async connect(path: string, onExit: (e: ExitFile) => void): Promise<SupervisorLink | undefined> {
    const socket = await connectUnix(path);
    return socket === undefined ? undefined : new SupervisorLink(socket, onExit);
  }

  /** The exit record, once it came. */
  get exit(): ExitFile | undefined {
    return this.#exit;
  }

  /** Resolves when the supervisor has ended: with an exit before it, everything of the container but its folder is gone. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  /** What the supervisor says; it answers once the container has started. */
  status(): Promise<StartedFile | ExitFile> {
    const answer = deferred<StartedFile | ExitFile>();
    if (this.#socket.destroyed) answer.reject(new StatusError('Unavailable', 'the supervisor has ended'));
    else this.#answers.push(answer);
    this.#socket.write(encodeFrame('S'));
    return answer.promise;
  }

  /** True when the supervisor has done it, false when its connection ended before (`closed` has then resolved). */
  async kill(signal: number, all: boolean): Promise<boolean> {
    const payload = Buffer.alloc(5);
    payload.writeUInt32LE(signal, 0);
    payload.writeUInt8(all ? 1 : 0, 4);
    this.#socket.write(encodeFrame('K', payload));
    try {
      await this.status();
      return true;
    } catch {
      // Only its end answers a request with an error.
      await this.closed;
      return false;
    }
  }

  close(): void {
    this.#socket.destroy();
  }
}
