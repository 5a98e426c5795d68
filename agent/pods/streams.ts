/**
 * The node's side of logs, exec, attach and port-forward: one function per kind, called by the session for each stream the
 * gateway opens. Back-pressure all the way: bytes are piped, never collected; a cut ends the exec's process.
 * Source: kubernetes pkg/kubelet/kuberuntime (GetContainerLogs), cri/streaming.
 */
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { PassThrough } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Ctx, StatusError } from '#lib/base';
import type { NodeStreamRequest } from '#lib/client';
import type { StreamSession } from '../runtime/runtime.ts';
import type { StreamIo } from '../session/session.ts';
import type { PodDeps } from './deps.ts';
import { readLog } from './log-file.ts';
import { LogRenderer } from './log-lines.ts';
import type { PodManager } from './manager.ts';
import { type ForwardTarget, forwardPort } from './port-forward.ts';
import { podFolder, podLogFolder } from './steps/sandbox.ts';
import type { PodWorker } from './worker.ts';

export async function serveStream(
  d: PodDeps,
  pods: PodManager,
  r: NodeStreamRequest,
  io: StreamIo,
  c: Ctx,
  page: (path: string) => Promise<string>,
): Promise<{ exitCode: number }> {
  if (r.kind === 'stats') {
    await endWith(io.stdout, await page(r.path ?? ''));
    return { exitCode: 0 };
  }
  if (r.kind === 'nodeforward') {
    await forwardPort(d, { netns: '', addresses: [d.settings.nodeIp], port: r.port ?? 0, failure: '' }, io, c);
    return { exitCode: 0 };
  }
  const worker = pods.worker(r.pod.uid) ?? pods.find(r.pod.namespace, r.pod.name);
  if (worker === undefined)
    throw new StatusError('NotFound', `pod "${r.pod.name}" is not on node ${d.settings.nodeName}`);
  switch (r.kind) {
    case 'logs':
      return logs(d, worker, r, io, c);
    case 'exec':
      return exec(d, worker, r, io, c);
    case 'attach':
      return attach(d, worker, r, io, c);
    case 'portforward':
    case 'podforward':
      await forwardPort(d, forwardTarget(d, worker, r), io, c);
      return { exitCode: 0 };
  }
}

const LOOPBACK = ['127.0.0.1', '::1'];

/** A port-forward reaches the pod's loopback, and what listens on its address alone; a proxy its address, as any client. */
function forwardTarget(d: PodDeps, worker: PodWorker, r: NodeStreamRequest): ForwardTarget {
  const { pod, podIp } = worker;
  const port = r.port ?? 0;
  if (podIp === undefined)
    throw new StatusError('Unavailable', `pod "${pod.metadata.name}" has no network on this node yet`);
  if (r.kind === 'podforward') return { netns: '', addresses: [podIp], port, failure: '' };
  const netns = pod.spec.hostNetwork === true ? '' : join(podFolder(d, worker.uid), 'ns', 'net');
  const failure = `failed to connect to localhost:${port} inside the pod: `;
  return { netns, addresses: [...LOOPBACK, podIp], port, failure };
}

async function logs(
  d: PodDeps,
  worker: PodWorker,
  r: NodeStreamRequest,
  io: StreamIo,
  c: Ctx,
): Promise<{ exitCode: number }> {
  const o = r.logs ?? {};
  const attempt = o.previous === true ? worker.previousAttempt(r.container) : worker.attempt(r.container);
  if (attempt === undefined) {
    const message = o.previous
      ? `previous terminated container "${r.container}" in pod "${r.pod.name}" not found`
      : `container "${r.container}" in pod "${r.pod.name}" is waiting to start: ${waitingText(worker.waitingReason(r.container))}`;
    throw new StatusError('BadRequest', message);
  }
  const sinceMs =
    o.sinceTime !== undefined
      ? Date.parse(o.sinceTime)
      : o.sinceSeconds !== undefined
        ? d.clock.now() - o.sinceSeconds * 1000
        : undefined;
  const path = `${podLogFolder(d, worker.pod)}/${r.container}/${attempt.attempt}.log`;
  const records = readLog(
    {
      path,
      follow: o.follow === true && attempt.state.phase === 'running',
      tailLines: o.tailLines,
      ended: worker.ended(r.container),
    },
    c,
  );
  await writeLines(records, new LogRenderer({ ...o, sinceMs }), { limitBytes: o.limitBytes, out: io.stdout });
  await endOf(io.stdout);
  return { exitCode: 0 };
}

/** In the kubelet's words. */
function waitingText(reason: string): string {
  if (reason === 'ErrImagePull') return "image can't be pulled";
  return reason === 'ImagePullBackOff' ? 'trying and failing to pull image' : reason;
}

/** One buffer at a time: the next is read when this one has gone out. */
export async function writeLines(
  batches: AsyncIterable<Buffer>,
  renderer: LogRenderer,
  { limitBytes, out }: { limitBytes: number | undefined; out: Writable },
): Promise<void> {
  let left = limitBytes ?? Number.POSITIVE_INFINITY;
  for await (const records of batches) {
    const bytes = renderer.render(records);
    const piece = bytes.length > left ? bytes.subarray(0, left) : bytes;
    left -= piece.length;
    if (piece.length > 0 && !out.write(piece)) await drained(out);
    if (left <= 0 || out.destroyed) return;
  }
}

async function exec(
  d: PodDeps,
  worker: PodWorker,
  r: NodeStreamRequest,
  io: StreamIo,
  c: Ctx,
): Promise<{ exitCode: number }> {
  const id = runningId(worker, r.container);
  await using session = await d.runtime.exec(
    id,
    { argv: r.command ?? [], tty: r.tty === true, stdin: r.stdin === true },
    c,
  );
  const code = await relay(session, r, io, c);
  return { exitCode: code ?? 0 };
}

async function attach(
  d: PodDeps,
  worker: PodWorker,
  r: NodeStreamRequest,
  io: StreamIo,
  c: Ctx,
): Promise<{ exitCode: number }> {
  await using session = await d.runtime.attach(runningId(worker, r.container), { stdin: r.stdin === true }, c);
  const code = await relay(session, r, io, c);
  return { exitCode: code ?? 0 };
}

function runningId(worker: PodWorker, container: string): NonNullable<ReturnType<PodWorker['attempt']>>['id'] {
  const attempt = worker.attempt(container);
  if (attempt?.state.phase !== 'running')
    throw new StatusError('BadRequest', `container "${container}" of pod "${worker.pod.metadata.name}" is not running`);
  return attempt.id;
}

async function relay(s: StreamSession, r: NodeStreamRequest, io: StreamIo, c: Ctx): Promise<number | undefined> {
  io.onResize((width, height) => s.resize(width, height));
  const cut = new AbortController();
  const signal = AbortSignal.any([c.signal, cut.signal]);
  const input = r.stdin ? pipeline(io.stdin, s.stdin, { signal }).catch(() => undefined) : endOf(s.stdin);
  const outputs = Promise.all([pump(s.stdout, io.stdout, signal), pump(s.stderr, io.stderr, signal)]);
  const aborted = new Promise<never>((_, reject) =>
    signal.addEventListener('abort', () => reject(signal.reason), { once: true }),
  );
  aborted.catch(() => undefined);
  try {
    const code = await Promise.race([s.exit, aborted]);
    await Promise.race([outputs, aborted]);
    return code;
  } finally {
    cut.abort(new StatusError('Cancelled', 'the stream has ended'));
    await input;
  }
}

/** Copies to the end; a reader that went away only ends the copying. */
async function pump(from: Readable, to: Writable, signal: AbortSignal): Promise<void> {
  await pipeline(from, new PassThrough(), to, { signal }).catch(() => undefined);
}

function endOf(stream: Writable): Promise<void> {
  return new Promise((resolve) => {
    if (stream.writableEnded || stream.destroyed) resolve();
    else stream.end(() => resolve());
  });
}

function endWith(stream: Writable, text: string): Promise<void> {
  return new Promise((resolve) => {
    if (stream.destroyed) resolve();
    else stream.end(text, () => resolve());
  });
}

function drained(out: Writable): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      out.off('drain', done);
      out.off('close', done);
      out.off('error', done);
      resolve();
    };
    out.on('drain', done);
    out.on('close', done);
    out.on('error', done);
  });
}
