/**
 * An HTTP server on the node's loopback, where probes and hooks with `host: 127.0.0.1` arrive: it keeps who asked for what
 * and when, and answers as it is told.
 */
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import { realClock } from '#lib/base';

export interface Request {
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  /** By the wall clock, as the times in a pod's status. */
  readonly atMs: number;
}

export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly afterMs?: number;
  /** The rest is answered by 200; absent = as often as it is asked. */
  times?: number;
}

export class Recorder implements AsyncDisposable {
  readonly port: number;
  readonly #server: Server;
  readonly #requests: Request[];
  readonly #answers: Map<string, Answer | 'silence'>;

  private constructor(o: {
    port: number;
    server: Server;
    requests: Request[];
    answers: Map<string, Answer | 'silence'>;
  }) {
    this.port = o.port;
    this.#server = o.server;
    this.#requests = o.requests;
    this.#answers = o.answers;
  }

  static async open(): Promise<Recorder> {
    const requests: Request[] = [];
    const answers = new Map<string, Answer | 'silence'>();
    const server = createServer((req, res) => {
      const url = req.url ?? '';
      requests.push({ url, headers: req.headers, atMs: realClock.now() });
      const answer = answers.get(url) ?? { status: 200 };
      if (answer === 'silence') return;
      if (answer.times !== undefined && --answer.times === 0) answers.delete(url);
      realClock.after(answer.afterMs ?? 0, () => res.writeHead(answer.status, answer.headers).end(`answer to ${url}`));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('the recorder has no port');
    return new Recorder({ port: address.port, server, requests, answers });
  }

  /** What `url` is answered from now on; without it 200. */
  answer(url: string, answer: Answer | 'silence'): void {
    this.#answers.set(url, answer === 'silence' ? answer : { ...answer });
  }

  of(url: string): readonly Request[] {
    return this.#requests.filter((r) => r.url === url);
  }

  /** The fields of an httpGet that leads here. */
  get(path: string): { host: string; port: number; path: string } {
    return { host: '127.0.0.1', port: this.port, path };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
