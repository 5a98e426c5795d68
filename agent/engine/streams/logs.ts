/**
 * GET /containers/{id}/logs, and the replay of an attach with logs=1. The log is the supervisor's, over rotated files, read a
 * piece at a time as fast as the client takes it. Source: moby daemon/logs.go, httputils/logstream.
 */
import type { Writable } from 'node:stream';
import { type Ctx, isKind } from '#lib/base';
import { readLog } from '../../pods/log-file.ts';
import { conflict, EngineError, type EngineRoute } from '../http/contract.ts';
import type { EngineContainer, EngineContainers, EngineHost } from '../parts.ts';
import { type LogFrameOptions, LogFrames } from './log-frames.ts';
import { logDetails } from './log-options.ts';
import { type LogQuery, logQuery, msOf } from './log-query.ts';
import { streamType } from './multiplex.ts';

export function canReadLog(container: EngineContainer): boolean {
  return container.record.hostConfig.LogConfig?.Type !== 'none';
}

export function logsRoute(p: { host: EngineHost; containers: EngineContainers }): EngineRoute {
  return {
    method: 'GET',
    path: '/containers/{id}/logs',
    handle: async (r, reply) => {
      const query = logQuery(r.query);
      const container = p.containers.find(r.params['id'] ?? '');
      if (container.status === 'removing' || container.status === 'dead')
        throw conflict('can not get logs from container which is dead or marked for removal');
      if (!canReadLog(container)) throw new EngineError(501, 'configured logging driver does not support reading');
      const isMultiplexed = !container.record.config.Tty;
      const out = reply.stream(streamType({ isMultiplexed, version: r.version, isUpgrade: true }));
      await writeLog(p, container, { query, out, isMultiplexed }, r.c);
      out.end();
    },
  };
}

interface LogReply {
  readonly query: LogQuery;
  readonly out: Writable;
  readonly isMultiplexed: boolean;
}

async function writeLog(
  p: { host: EngineHost; containers: EngineContainers },
  container: EngineContainer,
  { query, out, isMultiplexed }: LogReply,
  c: Ctx,
): Promise<void> {
  const { clock } = p.host;
  const details = query.details ? logDetails(container.record) : undefined;
  const frames = new LogFrames({ ...query, isMultiplexed, details });
  /* What is waited for besides the log: the end of the run, an instant, and the client. */
  const over = new AbortController();
  const signal = AbortSignal.any([c.signal, over.signal]);
  const leftMs = query.until === undefined ? undefined : msOf(query.until) + 1 - clock.now();
  const isRunning = container.run?.phase === 'running';
  const follow = query.follow && isRunning && (leftMs === undefined || leftMs > 0);
  const timer = follow && leftMs !== undefined ? clock.after(leftMs, () => over.abort()) : undefined;
  const exited = follow ? p.containers.whenExited(container.id, { ...c, signal }) : Promise.resolve(0);
  const ended = exited.then(
    () => undefined,
    () => undefined,
  );
  try {
    const options = { path: container.logPath, follow, tailLines: query.tailLines, ended };
    for await (const records of readLog(options, c)) {
      await written(out, frames.render(records));
      if (frames.isPast || out.destroyed) return;
    }
  } catch (e) {
    if (!isKind(e, 'Cancelled') && !c.signal.aborted) throw e;
  } finally {
    timer?.cancel();
    over.abort();
  }
}

/** How many of the newest lines are looked through for those that came between a replay and the attach behind it. */
const BETWEEN_LINES = 2_000;

/** The whole log, or what came `after` an instant and up to `until`; gives the instant of its last record ('' = it has none). */
export async function replayLog(
  container: EngineContainer,
  o: LogFrameOptions & { readonly client: Writable },
  c: Ctx,
): Promise<string> {
  const frames = new LogFrames(o);
  const tailLines = o.after === undefined ? undefined : BETWEEN_LINES;
  const log = readLog({ path: container.logPath, follow: false, tailLines, ended: Promise.resolve() }, c);
  for await (const records of log) {
    await written(o.client, frames.render(records));
    if (o.client.destroyed) break;
  }
  return frames.lastTime ?? o.after ?? '';
}

async function written(out: Writable, bytes: Buffer): Promise<void> {
  if (bytes.length === 0 || !out.writable || out.write(bytes)) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      out.off('drain', done).off('close', done).off('error', done);
      resolve();
    };
    out.on('drain', done).on('close', done).on('error', done);
  });
}
