/**
 * Execs: create, start (with the connection's streams, or detached), inspect, resize. The process outlives its client and the
 * agent; who comes back finds its exit code for ten minutes. Source: moby daemon/exec.go, router/container/exec.go.
 */
import type { Duplex } from 'node:stream';
import { type Ctx, isKind, messageOf, type Scope } from '#lib/base';
import { resolveUser } from '../../pods/user.ts';
import type { ExecSession } from '../../runtime/runtime.ts';
import {
  badParameter,
  conflict,
  EngineError,
  type EngineReply,
  type EngineRequest,
  type EngineRoute,
  notFound,
} from '../http/contract.ts';
import type { EngineContainer, EngineContainers, EngineEvents, EngineHost } from '../parts.ts';
import { sizeOf } from './attach.ts';
import { parseDetachKeys } from './detach-keys.ts';
import { containerEvent } from './events.ts';
import { type ExecFailure, execFailure } from './exec-failure.ts';
import { decodeExecCreate, decodeExecStart, type ExecStart } from './exec-request.ts';
import { Exec, type ExecStore, type ExecUser } from './exec-store.ts';
import { framed, STDOUT, streamType } from './multiplex.ts';
import { relay } from './relay.ts';

const ID_BYTES = 32;
/** Of a process whose end nobody saw. */
const LOST_EXIT_CODE = 137;
const RESIZE_WAIT_MS = 10_000;

export interface ExecParts {
  readonly host: EngineHost;
  readonly containers: EngineContainers;
  readonly events: EngineEvents;
  readonly execs: ExecStore;
  /** Of what goes on after a request. */
  readonly scope: Scope;
}

export function execRoutes(p: ExecParts): readonly EngineRoute[] {
  return [
    { method: 'POST', path: '/containers/{id}/exec', handle: (r, reply) => create(p, r, reply) },
    { method: 'POST', path: '/exec/{id}/start', hijacks: true, handle: (r, reply) => start(p, r, reply) },
    {
      method: 'GET',
      path: '/exec/{id}/json',
      handle: async (r, reply) => reply.json(200, inspect(p, r.params['id'] ?? '')),
    },
    { method: 'POST', path: '/exec/{id}/resize', handle: (r, reply) => resize(p, r, reply) },
  ];
}

async function create(p: ExecParts, r: EngineRequest, reply: EngineReply): Promise<void> {
  const request = decodeExecCreate(await r.json(), r.version);
  const name = r.params['id'] ?? '';
  const container = p.containers.find(name);
  checkActive(container, name);
  const user = request.user === '' ? undefined : await userOf(container, request.user, r.c);
  const exec = new Exec({ id: p.host.random.hex(ID_BYTES), containerId: container.id, request, user });
  p.execs.add(exec, p.host.clock.monotonic());
  emit(p, container, exec, `exec_create: ${request.cmd.join(' ')}`);
  reply.json(201, { Id: exec.id });
}

async function start(p: ExecParts, r: EngineRequest, reply: EngineReply): Promise<void> {
  const o = decodeExecStart(await r.json(), r.version);
  const { exec, container } = active(p, r.params['id'] ?? '');
  if (exec.state.phase === 'ended') throw conflict(`exec command ${exec.id} has already run`);
  if (exec.state.phase !== 'created') throw conflict(`exec command ${exec.id} is already running`);
  exec.state = { phase: 'starting' };
  if (o.detach) {
    await run(p, { exec, container, o }, r.c);
    reply.empty(200);
    return;
  }
  const isUpgrade = r.headers.upgrade !== undefined;
  const client = reply.hijack(streamType({ isMultiplexed: !o.tty, version: r.version, isUpgrade }));
  try {
    const session = await run(p, { exec, container, o }, r.c);
    await passOn(p, { exec, container, session, client, o });
  } catch (e) {
    const text = Buffer.from(`${messageOf(e)}\r\n`);
    if (client.writable) client.write(o.tty ? text : framed(STDOUT, text));
  } finally {
    client.end();
  }
}

interface Started {
  readonly exec: Exec;
  readonly container: EngineContainer;
  readonly o: ExecStart;
}

/** The process runs when this resolves, whatever becomes of the client: its start is not cut short either. */
async function run(p: ExecParts, { exec, container, o }: Started, c: Ctx): Promise<ExecSession> {
  const { request, user } = exec;
  emit(p, container, exec, `exec_start: ${request.cmd.join(' ')}`);
  let session: ExecSession;
  try {
    session = await p.host.runtime.exec(
      container.id,
      {
        argv: request.cmd,
        env: request.env,
        ...(request.workingDir === '' ? {} : { cwd: request.workingDir }),
        ...(user === undefined ? {} : { user }),
        ...sizeField(o.size ?? request.size),
        privileged: request.privileged,
        tty: request.tty,
        stdin: request.attachStdin && !o.detach,
        outlives: true,
      },
      { ...c, signal: p.scope.signal },
    );
  } catch (e) {
    throw failed(p, exec, e);
  }
  exec.state = { phase: 'running', session };
  exec.started.resolve(session);
  p.scope.spawn('exec', () => watch(p, { exec, container, session }));
  if (o.detach) {
    session.stdout.resume();
    session.stderr.resume();
  }
  return session;
}

function failed(p: ExecParts, exec: Exec, e: unknown): EngineError {
  const isGone = isKind(e, 'Conflict') || isKind(e, 'NotFound');
  const text = messageOf(e).replace(/^exec failed: /, '');
  const failure: ExecFailure | undefined = isGone ? undefined : execFailure(text);
  exec.state = {
    ...{ phase: 'ended', pid: 0, atMs: p.host.clock.monotonic() },
    exitCode: failure?.exitCode ?? 126,
  };
  exec.started.resolve(undefined);
  return failure === undefined
    ? conflict(`container ${exec.containerId} is not running`)
    : new EngineError(failure.status, failure.message, { cause: e });
}

/** To the end of the process: then its exit code is known to whoever asks. */
async function watch(
  p: ExecParts,
  { exec, container, session }: { exec: Exec; container: EngineContainer; session: ExecSession },
): Promise<void> {
  const code = await session.exit.catch(() => undefined);
  if (p.scope.signal.aborted) return;
  const exitCode = code ?? LOST_EXIT_CODE;
  exec.state = { phase: 'ended', exitCode, pid: session.pid, atMs: p.host.clock.monotonic() };
  emit(p, container, exec, 'exec_die', { exitCode: String(exitCode) });
}

async function passOn(
  p: ExecParts,
  { exec, container, session, client, o }: Started & { session: ExecSession; client: Duplex },
): Promise<void> {
  const { request } = exec;
  const how = await relay({
    ...{ client, session, isMultiplexed: !o.tty },
    ...{ stdin: request.attachStdin, stdout: request.attachStdout, stderr: request.attachStderr },
    detachKeys: request.tty ? parseDetachKeys(request.detachKeys, 'escape') : undefined,
    inputEnd: request.tty ? 'ends-relay' : 'ends-input',
  });
  if (how === 'detached') emit(p, container, exec, 'exec_detach');
  /* Its input ends with the client; at a terminal, which has no end of input, the process is left alone. */
  if (how === 'gone' && !request.tty) session.stdin.end();
  /* Whoever sees the end of the stream asks for the exit code next. */
  if (how === 'ended') await session.exit.catch(() => undefined);
}

function inspect(p: ExecParts, id: string): object {
  const exec = p.execs.get(id, p.host.clock.monotonic());
  if (exec === undefined || !isThere(p, exec)) throw notFound(`No such exec instance: ${id}`);
  const { request, state } = exec;
  const [entrypoint, ...args] = request.cmd;
  return {
    ID: exec.id,
    Running: state.phase === 'running' || state.phase === 'starting',
    ExitCode: state.phase === 'ended' ? state.exitCode : null,
    ProcessConfig: {
      ...{ tty: request.tty, entrypoint, arguments: args, privileged: request.privileged },
      user: request.user,
    },
    ...{ OpenStdin: request.attachStdin, OpenStdout: request.attachStdout, OpenStderr: request.attachStderr },
    CanRemove: state.phase === 'ended',
    ContainerID: exec.containerId,
    DetachKeys: request.detachKeys === '' ? '' : parseDetachKeys(request.detachKeys, 'escape').toString('base64'),
    Pid: state.phase === 'running' ? state.session.pid : state.phase === 'ended' ? state.pid : 0,
  };
}

async function resize(p: ExecParts, r: EngineRequest, reply: EngineReply): Promise<void> {
  const size = sizeOf(r);
  const { exec } = active(p, r.params['id'] ?? '');
  const late = p.host.clock.sleep(RESIZE_WAIT_MS, r.c.signal).then(() => 'late' as const);
  late.catch(() => undefined);
  const session = await Promise.race([exec.started.promise, late]);
  if (session === 'late') throw new EngineError(500, 'timeout waiting for exec session ready');
  if (session === undefined) throw badParameter('exec process is not started');
  session.resize(size.width, size.height);
  reply.empty(200);
}

/** Of a container that takes execs. */
function active(p: ExecParts, id: string): { exec: Exec; container: EngineContainer } {
  const exec = p.execs.get(id, p.host.clock.monotonic());
  if (exec === undefined) throw notFound(`No such exec instance: ${id}`);
  const container = p.containers.find(exec.containerId);
  checkActive(container, container.id);
  return { exec, container };
}

function checkActive({ id, status, run }: EngineContainer, name: string): void {
  if (status === 'paused') throw conflict(`Container ${name} is paused, unpause the container before exec`);
  if (status === 'restarting') throw conflict(`Container ${id} is restarting, wait until the container is running`);
  if (run?.phase !== 'running') throw conflict(`container ${id} is not running`);
}

function isThere(p: ExecParts, exec: Exec): boolean {
  try {
    return p.containers.find(exec.containerId).id === exec.containerId;
  } catch {
    /* It was removed. */
    return false;
  }
}

async function userOf(container: EngineContainer, text: string, c: Ctx): Promise<ExecUser> {
  const rootfs = await container.mountRoot(c);
  const found = async (user: string): ReturnType<typeof resolveUser> => {
    try {
      return await resolveUser(rootfs, user, undefined, undefined);
    } catch (e) {
      const file = /^unable to find group/.test(messageOf(e)) ? 'group' : 'passwd';
      throw badParameter(messageOf(e).replace(/in the image$/, `in ${file} file`));
    }
  };
  const { uid, gid, additionalGids } = await found(text);
  const more: number[] = [];
  for (const group of container.record.hostConfig.GroupAdd ?? []) more.push((await found(`0:${group}`)).gid);
  return { uid, gid, additionalGids: [...new Set([...additionalGids, ...more])] };
}

function sizeField(size: ExecStart['size']): { size?: NonNullable<ExecStart['size']> } {
  return size === undefined ? {} : { size };
}

function emit(
  p: ExecParts,
  container: EngineContainer,
  exec: Exec,
  action: string,
  attributes: Readonly<Record<string, string>> = {},
): void {
  p.events.emit(containerEvent(container, action, { execID: exec.id, ...attributes }));
}
