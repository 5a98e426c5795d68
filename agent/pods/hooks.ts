/**
 * Lifecycle hooks and the handlers that probes share: exec in the container, HTTP GET, TCP connect, gRPC health (probes
 * only), sleep (hooks only). Source: kubernetes pkg/kubelet/lifecycle/handlers.go, pkg/probe/{exec,http,tcp,grpc}.
 */
import { connect, isIP } from 'node:net';
import type { Readable } from 'node:stream';
import type { DeepReadonly, LifecycleHandler, ProbeHandler } from '#lib/api';
import { type Ctx, isKind, messageOf, raceAbort } from '#lib/base';
import { dialErrorText, hostPort } from '../probes/dial-error.ts';
import { checkGrpcHealth } from '../probes/grpc-health.ts';
import { httpGet } from '../probes/http-get.ts';
import { type HttpTarget, handlerHeaders, requestPath, requestText } from '../probes/http-request.ts';
import { REQUEST_BYTES_MAX, type SteadyEnd, type SteadyProbe } from '../probes/steady-prober.ts';
import { httpVerdict, tcpVerdict } from '../probes/steady-verdict.ts';
import type { PodDeps } from './deps.ts';
import type { Attempt, ContainerSpec } from './model.ts';

export interface HandlerResult {
  readonly ok: boolean;
  readonly message: string;
  /** The handler could not be tried at all (no session to the container, no such port): says nothing about the container. */
  readonly errored?: boolean;
}

export type Handler = Pick<DeepReadonly<LifecycleHandler>, 'exec' | 'httpGet' | 'tcpSocket' | 'sleep'> &
  Pick<DeepReadonly<ProbeHandler>, 'grpc'>;

const BODY_BYTES_MAX = 10 << 10;

class NoSuchPort extends Error {}

export interface HandlerTarget {
  readonly container: ContainerSpec;
  readonly attempt: Attempt;
  readonly podIp: string;
  /** Part of the User-Agent of HTTP. */
  readonly purpose: 'probe' | 'lifecycle';
}

/** Never throws: a failure is a result. The time limit counts as failure. */
export async function runHandler(
  d: PodDeps,
  h: Handler,
  t: HandlerTarget,
  timeoutMs: number,
  c: Ctx,
): Promise<HandlerResult> {
  try {
    if (h.exec !== undefined) return await execHandler(d, h.exec.command ?? [], t, timeoutMs, c);
    if (h.httpGet !== undefined) return await httpHandler(h.httpGet, t, timeoutMs, c);
    if (h.tcpSocket !== undefined) {
      const port = portNumber(h.tcpSocket.port, t.container);
      return await tcpHandler(h.tcpSocket.host || t.podIp, port, timeoutMs, c);
    }
    if (h.grpc !== undefined) {
      const { port, service = '' } = h.grpc;
      return await checkGrpcHealth({ host: t.podIp, port, service, timeoutMs }, c);
    }
    if (h.sleep === undefined) return { ok: false, message: 'no handler specified', errored: true };
    await d.clock.sleep(h.sleep.seconds * 1000, c.signal);
    return { ok: true, message: '' };
  } catch (e) {
    /* An unanswered connection and a time limit are the container's doing; a failed exec is ours. */
    const errored = e instanceof NoSuchPort || (h.exec !== undefined && !isKind(e, 'DeadlineExceeded'));
    return { ok: false, message: messageOf(e), errored };
  }
}

async function execHandler(
  d: PodDeps,
  argv: readonly string[],
  t: HandlerTarget,
  timeoutMs: number,
  c: Ctx,
): Promise<HandlerResult> {
  await using session = await d.runtime.exec(t.attempt.id, { argv, tty: false, stdin: false, timeoutMs }, c);
  const outputs = [begin(session.stdout), begin(session.stderr)];
  for (const o of outputs) o.catch(() => undefined); // Without the exit code they do not matter.
  const code = await raceAbort(session.exit, c.signal);
  const texts = await raceAbort(Promise.all(outputs), c.signal);
  return { ok: code === 0, message: texts.join('').slice(0, BODY_BYTES_MAX) };
}

/** Reads to the end and keeps only the first part: a program may write for as long as it is let. */
async function begin(stream: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    if (size < BODY_BYTES_MAX) chunks.push(chunk.subarray(0, BODY_BYTES_MAX - size));
    size += chunk.length;
  }
  return Buffer.concat(chunks).toString('utf8');
}

function httpHandler(
  get: NonNullable<Handler['httpGet']>,
  t: HandlerTarget,
  timeoutMs: number,
  c: Ctx,
): Promise<HandlerResult> {
  return httpGet({ ...httpTarget(get, t), timeoutMs }, c);
}

function httpTarget(get: NonNullable<Handler['httpGet']>, t: HandlerTarget): HttpTarget {
  return {
    scheme: get.scheme === 'HTTPS' ? 'https' : 'http',
    host: get.host || t.podIp,
    port: portNumber(get.port, t.container),
    path: requestPath(get.path || '/'),
    headers: handlerHeaders(get.httpHeaders ?? [], t.purpose),
  };
}

/** A handler that the prober can ask on, once it has succeeded. */
export interface SteadyHandler {
  readonly target: Pick<SteadyProbe, 'host' | 'port' | 'request'>;
  /** undefined: only `runHandler` knows. */
  verdict(end: SteadyEnd): HandlerResult | undefined;
}

/** undefined for one that it cannot: a name for a host, TLS, a program, gRPC. */
export function steadyHandler(h: Handler, t: HandlerTarget): SteadyHandler | undefined {
  if (h.httpGet !== undefined) {
    const target = httpTarget(h.httpGet, t);
    const request = requestText(target);
    if (target.scheme !== 'http' || !isPlainAddress(target.host) || request.length > REQUEST_BYTES_MAX)
      return undefined;
    return { target: { ...target, request }, verdict: (end) => said(() => httpVerdict(target, end)) };
  }
  if (h.tcpSocket === undefined) return undefined;
  const target = { host: h.tcpSocket.host || t.podIp, port: portNumber(h.tcpSocket.port, t.container) };
  return !isPlainAddress(target.host) ? undefined : { target, verdict: (end) => said(() => tcpVerdict(target, end)) };
}

/** One with a zone (fe80::1%eth0) is Node's alone: inet_pton(3) knows none. */
function isPlainAddress(host: string): boolean {
  return isIP(host) !== 0 && !host.includes('%');
}

function said(verdict: () => HandlerResult | undefined): HandlerResult | undefined {
  try {
    return verdict();
  } catch (e) {
    return { ok: false, message: messageOf(e) };
  }
}

function tcpHandler(host: string, port: number, timeoutMs: number, c: Ctx): Promise<HandlerResult> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, signal: c.signal }, () => {
      deadline.cancel();
      socket.destroy();
      resolve({ ok: true, message: '' });
    });
    const deadline = c.clock.after(timeoutMs, () =>
      socket.destroy(new Error(`dial tcp ${hostPort(host, port)}: i/o timeout`)),
    );
    socket.on('error', (e) => {
      deadline.cancel();
      reject(c.signal.aborted ? e : new Error(dialErrorText(e, host, port), { cause: e }));
    });
  });
}

function portNumber(port: number | string, container: ContainerSpec): number {
  if (typeof port === 'number') return port;
  const named = container.ports?.find((p) => p.name === port)?.containerPort ?? Number(port);
  if (!Number.isInteger(named) || named < 1 || named > 65535)
    throw new NoSuchPort(`container ${container.name} has no port named "${port}"`);
  return named;
}
