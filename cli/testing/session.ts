/** A client command's session on a real API server over a memory store, with what it prints kept as text. */
import { PassThrough } from 'node:stream';
import { StatusError } from '#lib/base';
import type { NodeStream, NodeStreams } from '#lib/client';
import { MASTER, startTestServer, type TestServer } from '../../services/apiserver/testing/server.ts';
import { newSession, type Output, type Session } from '../client/access.ts';

export class Captured implements Output {
  #text = '';

  write(text: string | Uint8Array): boolean {
    this.#text += Buffer.from(text as Uint8Array).toString('utf8');
    return true;
  }

  /** What was written since the last call. */
  take(): string {
    const text = this.#text;
    this.#text = '';
    return text;
  }
}

export interface TestSession extends AsyncDisposable {
  readonly server: TestServer;
  readonly out: Captured;
  readonly err: Captured;
  session(namespace?: string): Session;
}

export async function startTestSession(o: { nodeStreams?: NodeStreams } = {}): Promise<TestSession> {
  const server = await startTestServer({ listen: true, ...o });
  const client = await server.http(MASTER);
  const pair = await server.issueClient(MASTER.commonName, MASTER.organizations);
  const access = {
    server: server.url,
    caPem: server.ca.certPem,
    certPem: pair.certPem,
    keyPem: pair.keyPem,
    namespace: '',
  };
  const [out, err] = [new Captured(), new Captured()];
  return {
    server,
    out,
    err,
    session: (namespace) => newSession({ client, access, namespace, out, err }),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

type NodeStreamRequest = Parameters<NodeStreams['openStream']>[1];

/** A node whose containers do what `run` says; gives the exit code. */
export function scriptedNode(
  run: (
    request: NodeStreamRequest,
    io: { stdin: PassThrough; stdout: PassThrough; stderr: PassThrough; sizes: [number, number][] },
  ) => Promise<number>,
): NodeStreams {
  return {
    openStream: (node, request) => {
      if (node === 'gone') return Promise.reject(new StatusError('Unavailable', `node ${node} is not connected`));
      const io = {
        stdin: new PassThrough(),
        stdout: new PassThrough(),
        stderr: new PassThrough(),
        sizes: [] as [number, number][],
      };
      const result = run(request, io).then(
        (exitCode) => ({ exitCode }),
        (e: unknown) => Promise.reject(e),
      );
      result.catch(() => undefined);
      void result
        .then(
          () => undefined,
          () => undefined,
        )
        .then(() => {
          io.stdout.end();
          io.stderr.end();
        });
      const stream: NodeStream = {
        ...io,
        resize: (width, height) => void io.sizes.push([width, height]),
        result,
        [Symbol.asyncDispose]: async () => {
          io.stdin.destroy();
        },
      };
      return Promise.resolve(stream);
    },
  };
}
