/**
 * `berth exec`: a command in a container, over the API's WebSocket (v5.channel.k8s.io). With -t the own terminal is raw and its
 * size follows; it is restored however the command ends. The command's exit code becomes ours.
 */
import { pipeline } from 'node:stream/promises';
import { Kinds } from '#lib/api';
import { isKind, messageOf, StatusError } from '#lib/base';
import { errorOfStatus, resourcePath } from '#lib/client';
import { type DialledChannels, dialChannels } from '#lib/http';
import { type AccessOptions, type Session, withSession } from '../client/access.ts';
import { wrongUse } from '../client/arguments.ts';
import { podOf } from '../client/pods.ts';

export interface ExecOptions extends AccessOptions {
  readonly stdin?: boolean;
  readonly tty?: boolean;
  readonly container?: string;
}

/** The streams of the process, or a test's. */
export interface Terminal {
  readonly stdin: NodeJS.ReadableStream & { isTTY?: boolean; setRawMode?(mode: boolean): unknown };
  readonly stdout: NodeJS.WritableStream & { isTTY?: boolean; columns?: number; rows?: number };
  readonly stderr: NodeJS.WritableStream;
}

const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;
const ERROR = 3;
const RESIZE = 4;
const DIAL_MS = 30_000;
const STATUS_BYTES_MAX = 1 << 20;

export async function execCommand(target: string, command: readonly string[], o: ExecOptions): Promise<number> {
  return await withSession(o, (s) => exec(target, command, o, s, process));
}

export async function exec(
  target: string,
  command: readonly string[],
  o: ExecOptions,
  s: Session,
  terminal: Terminal,
): Promise<number> {
  if (command.length === 0) throw wrongUse(`say which command: berth exec ${target} -- ls /`);
  const isTty = o.tty === true && terminal.stdin.isTTY === true;
  if (o.tty === true && !isTty) s.err.write('Standard input is not a terminal: none is made in the container.\n');
  const pod = await podOf(target, s);
  const { namespace, name } = pod.metadata;
  const path = resourcePath(Kinds.pods, { namespace, name, subresource: 'exec' });
  const query = new URLSearchParams();
  if (o.container !== undefined) query.set('container', o.container);
  for (const word of command) query.append('command', word);
  const wants = { stdin: o.stdin === true, stdout: true, stderr: !isTty, tty: isTty };
  for (const [k, v] of Object.entries(wants)) if (v) query.set(k, 'true');
  await using channels = await dial(`${path}?${query}`, wants, s);
  return await relay(channels, wants, terminal);
}

type Wants = { readonly stdin: boolean; readonly stderr: boolean; readonly tty: boolean };

async function dial(path: string, wants: Wants, s: Session): Promise<DialledChannels> {
  const { access } = s;
  const url = new URL(access.server);
  return await dialChannels({
    url: `${url.origin}${url.pathname.replace(/\/$/, '')}${path}`,
    headers: access.token === undefined ? undefined : { authorization: `Bearer ${access.token}` },
    tls: {
      ca: access.caPem,
      cert: access.certPem,
      key: access.keyPem,
      servername: access.tlsServerName,
      rejectUnauthorized: access.insecureSkipTlsVerify === true ? false : undefined,
    },
    timeoutMs: DIAL_MS,
    protocols: ['v5.channel.k8s.io', 'v4.channel.k8s.io'],
    readable: [STDOUT, ...(wants.stderr ? [STDERR] : []), ERROR],
    writable: [...(wants.stdin ? [STDIN] : []), ...(wants.tty ? [RESIZE] : [])],
    refused: (code, body) => errorOfStatus(code, parsed(body), body),
  });
}

async function relay(channels: DialledChannels, wants: Wants, t: Terminal): Promise<number> {
  using _raw = wants.tty && wants.stdin ? rawMode(t) : undefined;
  using _size = wants.tty ? followSize(channels, t) : undefined;
  const done = new AbortController();
  const input = wants.stdin ? sendInput(channels, t, done.signal) : Promise.resolve();
  const status = readStatus(channels);
  const copies = [pipeline(channels.input(STDOUT), t.stdout, { end: false })];
  if (wants.stderr) copies.push(pipeline(channels.input(STDERR), t.stderr, { end: false }));
  try {
    await Promise.all(copies);
    return exitCodeOf(await status);
  } finally {
    done.abort();
    await input;
  }
}

/** Never rejects: that the command has gone is told by its status. */
async function sendInput(channels: DialledChannels, t: Terminal, signal: AbortSignal): Promise<void> {
  try {
    await pipeline(t.stdin, channels.output(STDIN), { signal, end: false });
    channels.endChannel(STDIN);
  } catch (e) {
    if (!signal.aborted) t.stderr.write(`berth exec: standard input: ${messageOf(e)}\n`);
  }
}

function rawMode(t: Terminal): Disposable {
  t.stdin.setRawMode?.(true);
  return { [Symbol.dispose]: () => void t.stdin.setRawMode?.(false) };
}

function followSize(channels: DialledChannels, t: Terminal): Disposable {
  const send = (): void => {
    const { columns = 0, rows = 0 } = t.stdout;
    if (columns > 0 && rows > 0) channels.output(RESIZE).write(JSON.stringify({ Width: columns, Height: rows }));
  };
  send();
  t.stdout.on('resize', send);
  return { [Symbol.dispose]: () => void t.stdout.off('resize', send) };
}

async function readStatus(channels: DialledChannels): Promise<string> {
  let text = '';
  for await (const piece of channels.input(ERROR)) {
    text += String(piece);
    if (text.length > STATUS_BYTES_MAX) break;
  }
  return text;
}

interface ExecStatus {
  readonly status?: string;
  readonly message?: string;
  readonly reason?: string;
  readonly code?: number;
  readonly details?: { readonly causes?: readonly { readonly reason?: string; readonly message?: string }[] };
}

/** The v1 Status on the error channel. Throws when the command could not be run, or when the connection was cut before it. */
export function exitCodeOf(text: string): number {
  const status = parsed(text) as ExecStatus | undefined;
  if (status === undefined || typeof status !== 'object')
    throw new StatusError('Unavailable', 'the connection was cut before the command ended');
  if (status.status === 'Success') return 0;
  const cause = status.details?.causes?.find((x) => x.reason === 'ExitCode');
  if (status.reason === 'NonZeroExitCode' && cause?.message !== undefined) return Number(cause.message);
  // On this channel the kubelet leaves the type out.
  const e = errorOfStatus(status.code ?? 500, { ...status, kind: 'Status' }, text);
  // What cannot be run in a container is no wrong use of this command.
  throw isKind(e, 'Invalid') || isKind(e, 'BadRequest') ? new StatusError('Internal', e.message, { cause: e }) : e;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // A proxy's plain text, or nothing at all: the caller has the text itself.
    return undefined;
  }
}
