/**
 * `berth ps`: all containers of this node in one table, asked of its Docker socket: Docker's own list, and the pods' beside it
 * (agent/engine/system/pods.ts), which no Docker client sees.
 */
import { request } from 'node:http';
import { durationText } from '#lib/api';
import { messageOf, realClock, StatusError } from '#lib/base';
import { asArray, asObject, asStrings, type JsonObject, optional, parseJsonObject } from '#lib/oci';
import { wrongUse } from '../client/arguments.ts';
import { dockerSocket } from '../docker-door.ts';
import { DEFAULT_INSTANCE } from '../layout.ts';
import { textTable } from '../output/table.ts';

export interface PsOptions {
  readonly all?: boolean;
  readonly quiet?: boolean;
  readonly trunc?: boolean;
  readonly format?: string;
  readonly instance?: string;
  readonly socket?: string;
}

export interface PsRow {
  readonly id: string;
  readonly from: 'docker' | 'pod';
  readonly image: string;
  readonly createdAtMs: number;
  readonly status: string;
  readonly ports: string;
  readonly names: string;
}

const ANSWER_BYTES_MAX = 64 << 20;
const SHORT = 12;

export async function psCommand(o: PsOptions): Promise<number> {
  if (o.format !== undefined && o.format !== 'table' && o.format !== 'json')
    throw wrongUse(`--format ${o.format}: table or json`);
  const socket = o.socket ?? dockerSocket(o.instance ?? DEFAULT_INSTANCE);
  const all = o.all === true ? '1' : '0';
  const [docker, pods] = await Promise.all([
    ask(socket, `/containers/json?all=${all}`),
    ask(socket, `/berth/pods/containers?all=${all}`),
  ]);
  const nowMs = realClock.now();
  const rows = [...docker.map((x) => dockerRow(x)), ...pods.map((x) => podRow(x, nowMs))];
  rows.sort((a, b) => b.createdAtMs - a.createdAtMs || a.id.localeCompare(b.id));
  process.stdout.write(psText(rows, o, nowMs));
  return 0;
}

export function psText(rows: readonly PsRow[], o: PsOptions, nowMs: number): string {
  const id = (row: PsRow): string => (o.trunc === false ? row.id : row.id.slice(0, SHORT));
  if (o.quiet === true) return rows.map((row) => `${id(row)}\n`).join('');
  if (o.format === 'json')
    return rows
      .map((row) => JSON.stringify({ ...row, id: id(row), created: new Date(row.createdAtMs).toISOString() }))
      .map((line) => `${line}\n`)
      .join('');
  return textTable([
    ['CONTAINER ID', 'FROM', 'IMAGE', 'CREATED', 'STATUS', 'PORTS', 'NAMES'],
    ...rows.map((row) => [
      id(row),
      row.from,
      row.image,
      `${durationText(nowMs - row.createdAtMs)} ago`,
      row.status,
      row.ports,
      row.names,
    ]),
  ]);
}

export function dockerRow(entry: JsonObject): PsRow {
  return {
    ...base(entry),
    from: 'docker',
    status: text(entry['Status']),
    ports: asArray(entry['Ports'] ?? [], 'Ports')
      .map((p) => portText(asObject(p, 'port')))
      .join(', '),
  };
}

export function podRow(entry: JsonObject, nowMs: number): PsRow {
  const seconds = (key: string): number => Number(entry[key] ?? 0);
  const status =
    text(entry['State']) === 'running'
      ? `Up ${durationText(nowMs - seconds('Created') * 1000)}`
      : `Exited (${seconds('ExitCode')}) ${durationText(nowMs - seconds('Finished') * 1000)} ago`;
  return { ...base(entry), from: 'pod', status, ports: '' };
}

function base(entry: JsonObject): Pick<PsRow, 'id' | 'image' | 'createdAtMs' | 'names'> {
  const names = optional(entry['Names'], asStrings, 'Names') ?? [];
  return {
    id: text(entry['Id']),
    image: text(entry['Image']),
    createdAtMs: Number(entry['Created'] ?? 0) * 1000,
    names: names.map((n) => n.replace(/^\//, '')).join(','),
  };
}

function portText(p: JsonObject): string {
  const own = `${text(p['PrivatePort'])}/${text(p['Type'])}`;
  if (p['PublicPort'] === undefined) return own;
  const ip = text(p['IP']);
  return `${ip.includes(':') ? `[${ip}]` : ip}:${text(p['PublicPort'])}->${own}`;
}

function text(value: unknown): string {
  return value === undefined || value === null ? '' : String(value);
}

async function ask(socket: string, path: string): Promise<readonly JsonObject[]> {
  const { status, body } = await get(socket, path).catch((e: unknown) => {
    throw new StatusError('Unavailable', `no node answers at ${socket}: ${messageOf(e)}`, { cause: e });
  });
  if (status !== 200)
    throw new StatusError('Unavailable', `${socket}: ${text(parseJsonObject(body, 'the answer')['message'])}`);
  const list: unknown = JSON.parse(body.toString('utf8'));
  return asArray(list, path).map((x) => asObject(x, path));
}

function get(socketPath: string, path: string): Promise<{ status: number; body: Buffer }> {
  return new Promise((resolve, reject) => {
    const req = request({ socketPath, path, agent: false }, (res) => {
      const pieces: Buffer[] = [];
      let bytes = 0;
      res.on('data', (piece: Buffer) => {
        pieces.push(piece);
        bytes += piece.length;
        if (bytes > ANSWER_BYTES_MAX) req.destroy(new Error('the answer is too large'));
      });
      res.on('error', reject);
      res.on('end', () => resolve({ status: res.statusCode ?? 0, body: Buffer.concat(pieces) }));
    });
    req.on('error', reject);
    req.end();
  });
}
