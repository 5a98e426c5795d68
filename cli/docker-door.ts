/** Where a node or `berth engine` serves the Docker Engine API: its options, looked at together, and the certificates that TCP needs. */
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { isAbsolute, join } from 'node:path';
import { createSecureContext } from 'node:tls';
import { messageOf, StatusError } from '#lib/base';
import type { DoorSettings, DoorTls } from '../agent/engine/door.ts';
import { runFolder } from './layout.ts';
import { isEndpoint } from './node-options.ts';

export interface DockerDoorOptions {
  readonly socket?: string | undefined;
  /** `HOST:PORT` or `tcp://HOST:PORT`. */
  readonly tcp?: string | undefined;
  readonly tlscacert?: string | undefined;
  readonly tlscert?: string | undefined;
  readonly tlskey?: string | undefined;
}

/** What comes before their names on the command line. */
export type FlagPrefix = '--' | '--docker-';

/** sun_path is 108 bytes with its end. */
const SOCKET_BYTES_MAX = 107;
const NEEDS_TLS =
  'whoever reaches this API is root here, so it is served by TCP only to clients with a certificate: ' +
  'give the authority that signs them, and a certificate and key for this host';

export function dockerSocket(instance: string): string {
  return join(runFolder(instance), 'docker.sock');
}

/** Throws Invalid with every mistake. */
export async function dockerDoor(o: DockerDoorOptions, instance: string, prefix: FlagPrefix): Promise<DoorSettings> {
  const socket = o.socket ?? dockerSocket(instance);
  const mistakes: string[] = [];
  if (!isAbsolute(socket) || Buffer.byteLength(socket) > SOCKET_BYTES_MAX)
    mistakes.push(`${prefix}socket ${socket}: an absolute path of at most ${SOCKET_BYTES_MAX} bytes`);
  const files = { tlscacert: o.tlscacert, tlscert: o.tlscert, tlskey: o.tlskey };
  const missing = Object.entries(files).flatMap(([name, path]) => (path === undefined ? [`${prefix}${name}`] : []));
  const address = o.tcp?.replace(/^tcp:\/\//, '');
  if (address !== undefined && !isAddress(address))
    mistakes.push(
      `${prefix}tcp ${o.tcp}: write it as HOST:PORT, with an address of this host, for example 10.0.0.1:2376`,
    );
  if (address !== undefined && missing.length > 0)
    mistakes.push(`${prefix}tcp ${o.tcp}: ${NEEDS_TLS} (missing: ${missing.join(', ')})`);
  if (address === undefined && missing.length < 3)
    mistakes.push(`${prefix}tls…: they mean nothing without ${prefix}tcp`);
  if (mistakes.length > 0) throw new StatusError('Invalid', mistakes.join('\n'));
  if (address === undefined) return { socket };
  const at = address.lastIndexOf(':');
  const host = address.slice(0, at).replace(/^\[|\]$/g, '');
  return { socket, tcp: { host, port: Number(address.slice(at + 1)), tls: await readTls(files, prefix) } };
}

/** No name that only a resolver knows: one listens on an address. */
function isAddress(text: string): boolean {
  const host = text.slice(0, text.lastIndexOf(':')).replace(/^\[|\]$/g, '');
  return isEndpoint(text) && (isIP(host) !== 0 || host === 'localhost');
}

async function readTls(
  files: Readonly<Record<'tlscacert' | 'tlscert' | 'tlskey', string | undefined>>,
  prefix: FlagPrefix,
): Promise<DoorTls> {
  const read = async (name: keyof typeof files): Promise<string> => {
    try {
      return await readFile(files[name] ?? '', 'utf8');
    } catch (e) {
      throw new StatusError('Invalid', `${prefix}${name}: ${messageOf(e)}`, { cause: e });
    }
  };
  const tls = { ca: await read('tlscacert'), cert: await read('tlscert'), key: await read('tlskey') };
  try {
    createSecureContext(tls);
  } catch (e) {
    throw new StatusError('Invalid', `${prefix}tls…: ${messageOf(e)}`, { cause: e });
  }
  return tls;
}
