/** Bytes toward containers: log, exec, attach, port-forward, over the NodeStreams port that the gateway implements. */
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { DeepReadonly, Pod } from '#lib/api';
import { type Ctx, StatusError, toStatusError } from '#lib/base';
import type { LogRequest, NodeStream, NodeStreams, RequestBase } from '#lib/client';
import { acceptByteSocket, acceptPortForward, acceptRemoteCommand, type RemoteStreams } from '#lib/http';
import { admitConnect } from '../admission/requests.ts';
import type { Api } from '../api.ts';
import { badRequest } from '../api-errors.ts';
import { readObject } from '../handlers/get.ts';
import { isTrue } from './request-info.ts';

const SILENCE_MS = 500;

export interface StreamCall {
  readonly req: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
  readonly query: URLSearchParams;
  readonly base: RequestBase;
}

export class StreamRoutes {
  readonly #api: Api;
  readonly #nodes: () => NodeStreams | undefined;

  constructor(o: { api: Api; nodes: () => NodeStreams | undefined }) {
    this.#api = o.api;
    this.#nodes = o.nodes;
  }

  async log(call: { res: ServerResponse; query: URLSearchParams; base: RequestBase }, c: Ctx): Promise<void> {
    const stream = await this.#openLog(call, c);
    try {
      call.res.writeHead(200, { 'content-type': 'text/plain' });
      call.res.flushHeaders();
      await pipeline(stream.stdout, call.res, { signal: c.signal });
      await stream.result;
    } finally {
      await stream[Symbol.asyncDispose]();
    }
  }

  /** To a client that asked by WebSocket; what it sends is dropped. */
  async #logSocket(call: StreamCall, c: Ctx): Promise<void> {
    await using stream = await this.#openLog(call, c);
    await using client = await acceptByteSocket(call.req, call.socket, call.head);
    const gone = new AbortController();
    void client.closed.then(() => gone.abort());
    const signal = AbortSignal.any([c.signal, gone.signal]);
    /* The end of a follower that leaves, or of a log that cannot be read on: the close tells. */
    await pipeline(stream.stdout, client.output, { signal }).catch(() => undefined);
  }

  /** What the node refuses (a container that has not started) is an answer of its own, not an empty log. */
  async #openLog(call: { query: URLSearchParams; base: RequestBase }, c: Ctx): Promise<NodeStream> {
    const logs = logRequest(call.query);
    const pod = await this.#pod(call.base, c);
    const container = containerName(pod, call.query.get('container'), `a container name must be specified for pod`);
    const stream = await this.#open(pod, { kind: 'logs', container, logs }, c);
    try {
      if (await endsEmpty(stream, c)) await stream.result;
      return stream;
    } catch (e) {
      await stream[Symbol.asyncDispose]();
      throw e;
    }
  }

  /** Throws before the 101 only. */
  async upgrade(call: StreamCall, c: Ctx): Promise<void> {
    switch (call.base.subresource) {
      case 'log':
        return await this.#logSocket(call, c);
      case 'exec':
      case 'attach':
        return await this.#command(call, call.base.subresource, c);
      case 'portforward':
        return await this.#portForward(call, c);
      default:
        throw badRequest(`${call.base.subresource ?? 'this resource'} cannot be upgraded`);
    }
  }

  async #command(call: StreamCall, kind: 'exec' | 'attach', c: Ctx): Promise<void> {
    const { query } = call;
    const admitted = { kind: kind === 'exec' ? 'PodExecOptions' : 'PodAttachOptions', options: commandOptions(query) };
    await admitConnect(this.#api.core, this.#api.target(call.base), admitted, c);
    const pod = await this.#pod(call.base, c);
    const container = containerName(pod, query.get('container'), 'a container name must be specified for pod');
    const tty = isTrue(query.get('tty'));
    const wants = {
      stdin: isTrue(query.get('stdin')),
      stdout: isTrue(query.get('stdout')),
      stderr: isTrue(query.get('stderr')) && !tty,
      tty,
    };
    if (!wants.stdin && !wants.stdout && !wants.stderr)
      throw badRequest('you must specify at least 1 of stdin, stdout, stderr');
    const command = query.getAll('command');
    if (kind === 'exec' && command.length === 0)
      throw badRequest('you must specify at least one command for the container');
    const asked = { kind, container, ...wants, ...(kind === 'exec' ? { command } : {}) };
    const stream = await this.#open(pod, asked, c);
    let remote: RemoteStreams;
    try {
      remote = await acceptRemoteCommand(call.req, call.socket, call.head, wants);
    } catch (e) {
      await stream[Symbol.asyncDispose]();
      throw e;
    }
    await relayCommand(stream, remote);
  }

  async #portForward(call: StreamCall, c: Ctx): Promise<void> {
    const admitted = { kind: 'PodPortForwardOptions', options: portOptions(call.query) };
    await admitConnect(this.#api.core, this.#api.target(call.base), admitted, c);
    const pod = await this.#pod(call.base, c);
    if (pod.status?.phase !== 'Running')
      throw badRequest(
        `unable to forward port because pod is not running. Current status=${pod.status?.phase ?? 'Unknown'}`,
      );
    const connection = await acceptPortForward(call.req, call.socket, call.head);
    const gone = new AbortController();
    const signal = AbortSignal.any([c.signal, gone.signal]);
    connection.onPair((pair) => {
      this.#relayPort(pod, pair.port, pair.data, { ...c, signal }).catch((e: unknown) => {
        if (!signal.aborted) pair.fail(toStatusError(e).message);
      });
    });
    // What a client leaves open when it goes is cut, so that nothing stays behind on the node.
    await connection.closed;
    gone.abort();
  }

  async #relayPort(pod: DeepReadonly<Pod>, port: number, data: Duplex, c: Ctx): Promise<void> {
    const stream = await this.#open(pod, { kind: 'portforward', container: '', port }, c);
    try {
      const up = pipeline(data, stream.stdin, { signal: c.signal });
      const down = pipeline(stream.stdout, data, { signal: c.signal });
      /* A node that refuses ends its output too: the refusal must not wait for the client to close. */
      await Promise.all([up, down, stream.result]);
    } finally {
      await stream[Symbol.asyncDispose]();
    }
  }

  async #pod(base: RequestBase, c: Ctx): Promise<DeepReadonly<Pod>> {
    return (await readObject(this.#api.core, this.#api.target(base), c)).object as DeepReadonly<Pod>;
  }

  async #open(
    pod: DeepReadonly<Pod>,
    request: Omit<Parameters<NodeStreams['openStream']>[1], 'pod'>,
    c: Ctx,
  ): Promise<NodeStream> {
    const nodes = this.#nodes();
    const node = pod.spec?.nodeName ?? '';
    if (node === '') throw badRequest(`pod ${pod.metadata.name} does not have a host assigned`);
    if (nodes === undefined) throw new StatusError('Unavailable', 'this server has no connection to nodes');
    const { namespace = '', name, uid = '' } = pod.metadata;
    return await nodes.openStream(node, { ...request, pod: { namespace, name, uid } }, c);
  }
}

/** True if the node has ended the stream without a byte; a log that is merely silent (follow) is known by the time. */
async function endsEmpty(stream: NodeStream, c: Ctx): Promise<boolean> {
  const { stdout } = stream;
  const done = new AbortController();
  const signal = AbortSignal.any([c.signal, done.signal]);
  try {
    /* `readable` without a byte is the end of one that was awaited; a stream that had ended before only says `end`. */
    const spoke = once(stdout, 'readable', { signal }).then(() => stdout.readableLength === 0);
    const ended = once(stdout, 'end', { signal }).then(() => true);
    const silent = c.clock.sleep(SILENCE_MS, signal).then(() => false);
    return await Promise.race([spoke, ended, silent]);
  } finally {
    done.abort();
  }
}

/** From the moment of the 101 every end of it is told to the client, never thrown. */
async function relayCommand(stream: NodeStream, remote: RemoteStreams): Promise<void> {
  const gone = new AbortController();
  remote.onResize((width, height) => stream.resize(width, height));
  void remote.closed.then(
    () => gone.abort(),
    () => gone.abort(),
  );
  const signal = gone.signal;
  const quietly = (p: Promise<void>): Promise<void> => p.catch(() => undefined);
  const input = remote.stdin === undefined ? endOf(stream) : quietly(pipeline(remote.stdin, stream.stdin, { signal }));
  const output =
    remote.stdout === undefined
      ? drained(stream.stdout)
      : quietly(pipeline(stream.stdout, remote.stdout, { signal, end: false }));
  const errors =
    remote.stderr === undefined
      ? drained(stream.stderr)
      : quietly(pipeline(stream.stderr, remote.stderr, { signal, end: false }));
  const cut = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
  try {
    await Promise.race([Promise.all([output, errors]), cut]);
    if (signal.aborted) return;
    const { exitCode } = await stream.result;
    await remote.finish({ exitCode });
  } catch (e) {
    await remote.finish({ error: toStatusError(e) }).catch(() => undefined);
  } finally {
    gone.abort();
    await input;
    await stream[Symbol.asyncDispose]();
    await remote[Symbol.asyncDispose]();
  }
}

async function endOf(stream: NodeStream): Promise<void> {
  stream.stdin.end();
}

async function drained(readable: NodeStream['stdout']): Promise<void> {
  readable.resume();
}

/** Of a PodExecOptions or PodAttachOptions: what is false or empty is left out, as Go does. */
function commandOptions(query: URLSearchParams): object {
  const command = query.getAll('command');
  const container = query.get('container') ?? '';
  const flags = ['stdin', 'stdout', 'stderr', 'tty'].filter((name) => isTrue(query.get(name)));
  return {
    ...Object.fromEntries(flags.map((name) => [name, true])),
    ...(container === '' ? {} : { container }),
    ...(command.length === 0 ? {} : { command }),
  };
}

function portOptions(query: URLSearchParams): object {
  const ports = query
    .getAll('ports')
    .flatMap((text) => text.split(','))
    .filter((text) => /^\d{1,5}$/.test(text));
  return ports.length === 0 ? {} : { ports: ports.map(Number) };
}

const DEFAULT_CONTAINER = 'kubectl.kubernetes.io/default-container';

function containerName(pod: DeepReadonly<Pod>, asked: string | null, missing: string): string {
  const all = [
    ...(pod.spec?.containers ?? []),
    ...(pod.spec?.initContainers ?? []),
    ...(pod.spec?.ephemeralContainers ?? []),
  ].map((x) => x.name);
  const { name } = pod.metadata;
  if (asked !== null && asked !== '') {
    if (all.includes(asked)) return asked;
    throw badRequest(`container ${asked} is not valid for pod ${name}`);
  }
  const [only, second] = pod.spec?.containers ?? [];
  if (only !== undefined && second === undefined) return only.name;
  const preferred = pod.metadata.annotations?.[DEFAULT_CONTAINER];
  if (preferred !== undefined && all.includes(preferred)) return preferred;
  const names = (pod.spec?.containers ?? []).map((x) => x.name).join(' ');
  throw badRequest(`${missing} ${name}, choose one of: [${names}]`);
}

function logRequest(q: URLSearchParams): LogRequest {
  const number = (name: string): number | undefined => {
    const value = q.get(name);
    if (value === null || value === '') return undefined;
    if (!/^\d{1,15}$/.test(value)) throw badRequest(`${name}: Invalid value: "${value}"`);
    return Number(value);
  };
  const stream = q.get('stream');
  return {
    follow: isTrue(q.get('follow')),
    previous: isTrue(q.get('previous')),
    timestamps: isTrue(q.get('timestamps')),
    sinceSeconds: number('sinceSeconds'),
    sinceTime: q.get('sinceTime') ?? undefined,
    tailLines: number('tailLines'),
    limitBytes: number('limitBytes'),
    ...(stream === 'Stdout' || stream === 'Stderr' ? { stream } : {}),
  };
}
