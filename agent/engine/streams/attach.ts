/**
 * POST /containers/{id}/attach and GET /containers/{id}/attach/ws. A container that does not run yet may be attached to: its
 * next start hands the streams over before the program runs (arrivals.ts). A client that goes away ends nothing but its stdin.
 * Source: moby daemon/attach.go; reference/docker-api.md 5.
 */
import type { Duplex } from 'node:stream';
import { isKind } from '#lib/base';
import type { StreamSession } from '../../runtime/runtime.ts';
import {
  badParameter,
  conflict,
  EngineError,
  type EngineReply,
  type EngineRequest,
  type EngineRoute,
} from '../http/contract.ts';
import type { EngineContainer, EngineContainers, EngineEvents, EngineHost } from '../parts.ts';
import type { Arrivals } from './arrivals.ts';
import { parseDetachKeys } from './detach-keys.ts';
import { containerEvent } from './events.ts';
import { instantOf } from './log-query.ts';
import { canReadLog, replayLog } from './logs.ts';
import { streamType } from './multiplex.ts';
import { relay } from './relay.ts';

export interface AttachParts {
  readonly host: EngineHost;
  readonly containers: EngineContainers;
  readonly events: EngineEvents;
  readonly arrivals: Arrivals;
}

interface AttachQuery {
  readonly stream: boolean;
  readonly logs: boolean;
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly detachKeys: Buffer;
}

export function attachRoutes(p: AttachParts): readonly EngineRoute[] {
  return [
    {
      method: 'POST',
      path: '/containers/{id}/attach',
      hijacks: true,
      handle: async (r, reply) => {
        const { container, query } = target(p, r);
        const isMultiplexed = !container.record.config.Tty;
        const isUpgrade = r.headers.upgrade !== undefined;
        const client = reply.hijack(streamType({ isMultiplexed, version: r.version, isUpgrade }));
        await serve(p, { container, query, client, isMultiplexed }, r);
      },
    },
    { method: 'GET', path: '/containers/{id}/attach/ws', hijacks: true, handle: (r, reply) => socket(p, r, reply) },
  ];
}

/** Never multiplexed: both outputs are one. Before API 1.42 all three streams are meant whatever is asked. */
async function socket(p: AttachParts, r: EngineRequest, reply: EngineReply): Promise<void> {
  const { container, query } = target(p, r);
  const all = r.version < 42 ? { stdin: true, stdout: true, stderr: true } : {};
  const client = await reply.webSocket();
  await serve(p, { container, query: { ...query, ...all }, client, isMultiplexed: false }, r);
}

function target(p: AttachParts, r: EngineRequest): { container: EngineContainer; query: AttachQuery } {
  const detachKeys = parseDetachKeys(r.query.get('detachKeys'), 'detach');
  const name = r.params['id'] ?? '';
  const container = p.containers.find(name);
  const { status } = container;
  if (status === 'paused') throw conflict(`container ${name} is paused, unpause the container before attach`);
  if (status === 'restarting') throw conflict(`container ${name} is restarting, wait until the container is running`);
  if (status === 'removing' || status === 'dead')
    throw conflict(`container ${name} is marked for removal and cannot be attached to`);
  const is = (key: string): boolean => r.query.bool(key);
  const [logs, stream] = [is('logs'), is('stream')];
  if (logs && !canReadLog(container)) throw new EngineError(501, 'configured logging driver does not support reading');
  const wanted = { stdin: is('stdin'), stdout: is('stdout'), stderr: is('stderr') };
  return { container, query: { stream, logs, ...wanted, detachKeys } };
}

interface Attached {
  readonly container: EngineContainer;
  readonly query: AttachQuery;
  readonly client: Duplex;
  readonly isMultiplexed: boolean;
}

async function serve(p: AttachParts, a: Attached, r: EngineRequest): Promise<void> {
  const { container, query, client } = a;
  const { config } = container.record;
  const stdin = query.stdin && config.OpenStdin;
  try {
    /* First of all: a start must not pass by while the log is read. */
    const arrival = query.stream ? p.arrivals.expect(container, stdin, client) : undefined;
    const seen = query.logs ? await replayLog(container, { ...a, ...query }, r.c) : undefined;
    p.events.emit(containerEvent(container, 'attach'));
    if (arrival !== undefined) {
      const session = await arrival.session(r.c);
      if (session !== undefined) {
        await using _ = session;
        /* What came while the log was read, and before the attach. */
        const until = session.attachedAtNs === undefined ? undefined : instantOf(session.attachedAtNs);
        if (seen !== undefined) await replayLog(container, { ...a, ...query, after: seen, until }, r.c);
        await passOn(p, { ...a, query: { ...query, stdin } }, session);
      }
    }
  } catch (e) {
    if (r.c.signal.aborted || client.destroyed) return;
    const text = isKind(e, 'Conflict') ? `container ${container.id} is not running` : String(e);
    client.write(`Error attaching: ${text}\n`);
  } finally {
    client.end();
  }
}

async function passOn(p: AttachParts, a: Attached, session: StreamSession): Promise<void> {
  const { container, query, client, isMultiplexed } = a;
  const { Tty, StdinOnce } = container.record.config;
  const how = await relay({
    ...{ client, session, isMultiplexed },
    ...{ stdin: query.stdin, stdout: query.stdout, stderr: query.stderr },
    detachKeys: Tty ? query.detachKeys : undefined,
    inputEnd: StdinOnce && !Tty ? 'ends-input' : 'ends-relay',
  });
  if (how === 'detached') p.events.emit(containerEvent(container, 'detach'));
}

/** POST /containers/{id}/resize. */
export function resizeRoute(p: Omit<AttachParts, 'arrivals'>): EngineRoute {
  return {
    method: 'POST',
    path: '/containers/{id}/resize',
    handle: async (r, reply) => {
      const size = sizeOf(r);
      const container = p.containers.find(r.params['id'] ?? '');
      if (container.run?.phase !== 'running') throw conflict(`container ${container.id} is not running`);
      await using session = await p.host.runtime.attach(container.id, { stdin: false, output: false }, r.c);
      session.resize(size.width, size.height);
      const attributes = { height: String(size.height), width: String(size.width) };
      p.events.emit(containerEvent(container, 'resize', attributes));
      reply.empty(200);
    },
  };
}

export function sizeOf(r: EngineRequest): { width: number; height: number } {
  const side = (key: 'h' | 'w', what: string): number => {
    const text = r.query.get(key) ?? '';
    const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value <= 0xffff_ffff)) throw badParameter(`invalid resize ${what} ${JSON.stringify(text)}: invalid syntax`);
    return value;
  };
  return { height: side('h', 'height'), width: side('w', 'width') };
}
