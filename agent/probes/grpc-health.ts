/**
 * Asks a gRPC server whether it is healthy: grpc.health.v1.Health/Check, without TLS, over a connection of its own that is
 * gone afterwards. Over node:http2, since grpc-js leaves a connection open for ever to a server that takes it and says
 * nothing, and lets a server use as much memory as it likes; a container may do both. Words and order of failures are the kubelet's.
 * Source: kubernetes pkg/probe/grpc/grpc.go; grpc doc/{health-checking,PROTOCOL-HTTP2,http-grpc-status-mapping}.md.
 */
import { type ClientHttp2Session, connect, type IncomingHttpHeaders, type IncomingHttpStatusHeader } from 'node:http2';
import { BackWriter, WIRE_BYTES, WIRE_VARINT, WireReader } from '#lib/api';
import { type Ctx, messageOf, type Timer } from '#lib/base';

export interface GrpcHealthRequest {
  readonly host: string;
  readonly port: number;
  /** '' asks for the server as a whole. */
  readonly service: string;
  /** For connecting and the call together. */
  readonly timeoutMs: number;
}

export interface GrpcHealth {
  readonly ok: boolean;
  readonly message: string;
}

/** How a call ended, in gRPC's words. */
type Outcome = { readonly code: number; readonly details: string } | { readonly status: number };

const CHECK_PATH = '/grpc.health.v1.Health/Check';
const RECONNECT_MS = 250;
/** The answer is one number. */
const ANSWER_BYTES_MAX = 64 << 10;
const DETAILS_MAX = 1024;
const SERVING = 1;
const STATUS_NAMES = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'];
/** By number, as Go prints them. */
const CODES = [
  'OK',
  'Canceled',
  'Unknown',
  'InvalidArgument',
  'DeadlineExceeded',
  'NotFound',
  'AlreadyExists',
  'PermissionDenied',
  'ResourceExhausted',
  'FailedPrecondition',
  'Aborted',
  'OutOfRange',
  'Unimplemented',
  'Internal',
  'Unavailable',
  'DataLoss',
  'Unauthenticated',
];
const UNKNOWN = 2;
const RESOURCE_EXHAUSTED = 8;
const UNIMPLEMENTED = 12;
const INTERNAL = 13;
const UNAVAILABLE = 14;
const CODE_OF_HTTP: Readonly<Record<number, number>> = {
  400: INTERNAL,
  401: 16,
  403: 7,
  404: UNIMPLEMENTED,
  429: UNAVAILABLE,
  502: UNAVAILABLE,
  503: UNAVAILABLE,
  504: UNAVAILABLE,
};

/** What the server does or does not do is an answer; rejects only with the reason of an abort. */
export function checkGrpcHealth(r: GrpcHealthRequest, c: Ctx): Promise<GrpcHealth> {
  const address = `${r.host.includes(':') ? `[${r.host}]` : r.host}:${r.port}`;
  return new Promise<GrpcHealth>((resolve, reject) => {
    let session: ClientHttp2Session | undefined;
    let retry: Timer | undefined;
    let isConnected = false;
    let isOver = false;
    const end = (settle: () => void): void => {
      isOver = true;
      deadline.cancel();
      retry?.cancel();
      c.signal.removeEventListener('abort', onAbort);
      settle();
      session?.destroy();
    };
    const onAbort = (): void => end(() => reject(c.signal.reason));
    const onTimeout = (): void =>
      end(() => resolve({ ok: false, message: timeoutText(address, isConnected, r.timeoutMs) }));
    const dial = (): void => {
      session = connect(`http://${address}`);
      session.on('error', () => undefined); // A close follows.
      session.once('remoteSettings', () => {
        isConnected = true;
        if (session !== undefined && !isOver)
          call(session, r.service, (outcome) => isOver || end(() => resolve(healthOf(outcome))));
      });
      /* Whoever listens in time is healthy in time. */
      session.once('close', () => {
        if (!isOver && !isConnected) retry = c.clock.after(RECONNECT_MS, dial);
      });
    };
    const deadline = c.clock.after(r.timeoutMs, onTimeout);
    if (c.signal.aborted) {
      onAbort();
      return;
    }
    c.signal.addEventListener('abort', onAbort, { once: true });
    dial();
  });
}

/** Calls `onEnd` once, when the stream is closed. */
function call(session: ClientHttp2Session, service: string, onEnd: (outcome: Outcome) => void): void {
  const stream = session.request({
    ':method': 'POST',
    ':path': CHECK_PATH,
    te: 'trailers',
    'content-type': 'application/grpc',
    'user-agent': 'kube-probe/1.36',
  });
  const chunks: Buffer[] = [];
  let size = 0;
  let headers: IncomingHttpHeaders & IncomingHttpStatusHeader = {};
  let trailers: IncomingHttpHeaders = {};
  let failure = 'error reading from server: EOF';
  stream.on('response', (h) => (headers = h));
  stream.on('trailers', (t) => (trailers = t));
  stream.on('error', (e) => (failure = e.message));
  stream.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size <= ANSWER_BYTES_MAX) chunks.push(chunk);
    else stream.close();
  });
  stream.once('close', () => onEnd(outcomeOf({ headers, trailers, body: Buffer.concat(chunks), size, failure })));
  const message = requestOf(service);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  stream.end(Buffer.concat([prefix, message]));
}

interface Answer {
  readonly headers: IncomingHttpHeaders & IncomingHttpStatusHeader;
  readonly trailers: IncomingHttpHeaders;
  /** As much of `size` bytes as is allowed. */
  readonly body: Buffer;
  readonly size: number;
  /** Why there is no answer, if there is none. */
  readonly failure: string;
}

function outcomeOf(a: Answer): Outcome {
  const httpStatus = a.headers[':status'];
  if (httpStatus === undefined) return { code: UNAVAILABLE, details: a.failure };
  const code = a.trailers['grpc-status'] ?? a.headers['grpc-status'];
  if (code === undefined && httpStatus !== 200) {
    const details = `unexpected HTTP status code received from server: ${httpStatus}`;
    return { code: CODE_OF_HTTP[httpStatus] ?? UNKNOWN, details };
  }
  if (a.size > ANSWER_BYTES_MAX) {
    const details = `grpc: received message larger than max (${a.size} vs. ${ANSWER_BYTES_MAX})`;
    return { code: RESOURCE_EXHAUSTED, details };
  }
  if (typeof code !== 'string') return { code: UNAVAILABLE, details: a.failure };
  if (code !== '0')
    return {
      code: /^\d{1,2}$/.test(code) ? Number(code) : UNKNOWN,
      details: detailsText(a.trailers['grpc-message'] ?? a.headers['grpc-message']),
    };
  try {
    return { status: statusOf(a.body) };
  } catch (e) {
    return { code: INTERNAL, details: `grpc: failed to unmarshal the received message: ${messageOf(e)}` };
  }
}

/** grpc-message is percent-encoded; what is not is taken as it is. */
function detailsText(encoded: string | string[] | undefined): string {
  const text = (typeof encoded === 'string' ? encoded : '').slice(0, DETAILS_MAX);
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function healthOf(o: Outcome): GrpcHealth {
  if ('status' in o) {
    if (o.status === SERVING) return { ok: true, message: 'service healthy' };
    return { ok: false, message: `service unhealthy (responded with "${STATUS_NAMES[o.status] ?? o.status}")` };
  }
  if (o.code === UNIMPLEMENTED)
    return {
      ok: false,
      message: `error: this server does not implement the grpc health protocol (grpc.health.v1.Health): ${o.details}`,
    };
  const code = CODES[o.code] ?? `Code(${o.code})`;
  return { ok: false, message: `error: health rpc probe failed: rpc error: code = ${code} desc = ${o.details}` };
}

function timeoutText(address: string, isConnected: boolean, timeoutMs: number): string {
  const limit = timeoutMs % 1000 === 0 ? `${timeoutMs / 1000}s` : `${timeoutMs}ms`;
  return isConnected
    ? `timeout: health rpc did not complete within ${limit}`
    : `timeout: failed to connect service "${address}" within ${limit}: context deadline exceeded`;
}

/** HealthCheckRequest { string service = 1 }; an empty name is not written. */
function requestOf(service: string): Buffer {
  const w = new BackWriter();
  if (service !== '') {
    w.text(service);
    w.tag(1, WIRE_BYTES);
  }
  return w.finish();
}

/** HealthCheckResponse { ServingStatus status = 1 } behind its five bytes of prefix. Throws for anything else. */
function statusOf(body: Buffer): number {
  if (body.length < 5 || body[0] !== 0 || body.readUInt32BE(1) !== body.length - 5)
    throw new Error('not one uncompressed message');
  const reader = new WireReader(body, 5, body.length);
  let found = 0;
  while (!reader.done) {
    const tag = reader.varint();
    if (tag === 8 + WIRE_VARINT) found = reader.varint();
    else reader.skip(tag & 7);
  }
  return found;
}
