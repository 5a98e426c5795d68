/**
 * `berth token create|list|revoke`: join tokens, each good for one node and once. What `create` prints holds the addresses of
 * the gateway, the token and the hash of the CA's key: all that another machine needs for `berth join`.
 */
import { dirname } from 'node:path';
import { type DeepReadonly, durationText, Kinds, type Secret } from '#lib/api';
import { isKind, realRandom, StatusError } from '#lib/base';
import { caHash, joinText } from '#lib/pki';
import { createJoinToken } from '../../services/gateway/tokens.ts';
import { type AccessOptions, kubeconfigPaths, type Session, withSession } from '../client/access.ts';
import { parseDuration, wrongUse } from '../client/arguments.ts';
import { type ClusterLayout, DEFAULT_INSTANCE, defaultHome, defaultPorts, readLayout } from '../layout.ts';
import { isEndpoint } from '../node-options.ts';
import { textTable } from '../output/table.ts';

export interface TokenOptions extends AccessOptions {
  readonly ttl?: string;
  readonly description?: string;
  readonly server?: readonly string[];
}

const NAMESPACE = 'kube-system';
const PREFIX = 'bootstrap-token-';
const TYPE = 'bootstrap.kubernetes.io/token';
const TTL_MS_MIN = 60_000;

export async function tokenCreateCommand(o: TokenOptions): Promise<number> {
  return await withSession(o, async (s) => {
    const beside = (await kubeconfigPaths(o, process.env)).map((p) => dirname(p));
    const homes = [...beside, defaultHome(o.instance ?? DEFAULT_INSTANCE)];
    return await createToken(o, await layoutOf(s.access.server, homes), s);
  });
}

/** The cluster below one of `homes` that answers at `server`: the figures of another one would mislead. */
export async function layoutOf(server: string, homes: readonly string[]): Promise<ClusterLayout | undefined> {
  for (const home of homes) {
    const layout = await readLayout(home).catch(() => undefined); // not ours to read: the kubeconfig has to do
    if (layout !== undefined && isOf(new URL(server), layout)) return layout;
  }
  return undefined;
}

function isOf(server: URL, layout: ClusterLayout): boolean {
  return Number(server.port) === layout.apiPort && (isLoopback(server) || server.hostname === layout.serverIp);
}

function isLoopback({ hostname }: URL): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || hostname.startsWith('127.');
}

/** The join text alone goes to standard output, so that a script can take it. */
export async function createToken(o: TokenOptions, layout: ClusterLayout | undefined, s: Session): Promise<number> {
  const ttlMs = parseDuration('--ttl', o.ttl ?? '1h');
  if (ttlMs < TTL_MS_MIN) throw wrongUse(`--ttl ${o.ttl}: at least one minute`);
  const endpoints = o.server ?? gatewaysOf(s.access.server, layout);
  for (const e of endpoints) checkEndpoint('--server', e);
  if (s.access.caPem === undefined)
    throw new StatusError('Invalid', 'the kubeconfig names no CA, so a node could not tell whom it joins');
  const made = { client: s.client, random: realRandom, ttlMs, description: o.description };
  const token = await createJoinToken(made, s.c);
  const { registryPort } = layout ?? {};
  s.out.write(`${joinText({ endpoints, token, caHash: caHash(s.access.caPem), registryPort })}\n`);
  s.err.write(
    `Good for one node, for ${durationText(ttlMs)}. On the other machine, as root:\n  berth join <the text above>\n` +
      `It must reach ${endpoints.join(' or ')} (or pass --server HOST:PORT there).\n`,
  );
  return 0;
}

/** Of this machine's cluster when the kubeconfig is its own; else the API server's host, when the ports are the usual ones. */
export function gatewaysOf(server: string, layout: ClusterLayout | undefined): readonly string[] {
  const url = new URL(server);
  if (layout !== undefined && isOf(url, layout)) return [`${layout.serverIp}:${layout.gatewayPort}`];
  const remedy = "pass --server HOST:PORT of the gateway ('berth status' on the cluster's machine prints it)";
  if (isLoopback(url))
    throw wrongUse(`the kubeconfig reaches the API at ${url.hostname}, which other machines cannot: ${remedy}`);
  const usual = defaultPorts(DEFAULT_INSTANCE);
  if (Number(url.port) !== usual.apiPort)
    throw wrongUse(`the API is at port ${url.port || '443'}, so the gateway's port cannot be told from it: ${remedy}`);
  return [`${url.hostname}:${usual.gatewayPort}`];
}

/** Throws Invalid unless it is `host:port` or `[v6]:port`. */
export function checkEndpoint(flag: string, text: string): void {
  if (!isEndpoint(text)) throw wrongUse(`${flag} ${text}: write it as HOST:PORT, for example 10.0.0.1:6444`);
}

export async function tokenListCommand(o: AccessOptions): Promise<number> {
  return await withSession(o, listTokens);
}

export async function listTokens(s: Session): Promise<number> {
  const { items } = await s.client.list(Kinds.secrets, { namespace: NAMESPACE, fieldSelector: `type=${TYPE}` }, s.c);
  const rows = items.filter(isJoinToken).map((x) => {
    const leftMs = Date.parse(field(x, 'expiration')) - s.c.clock.now();
    const left = Number.isNaN(leftMs) ? 'never ends' : leftMs <= 0 ? 'expired' : durationText(leftMs);
    return [x.metadata.name.slice(PREFIX.length), left, field(x, 'description')];
  });
  if (rows.length === 0) s.err.write("No join tokens; 'berth token create' makes one.\n");
  else s.out.write(textTable([['ID', 'TIME LEFT', 'DESCRIPTION'], ...rows]));
  return 0;
}

export async function tokenRevokeCommand(ids: readonly string[], o: AccessOptions): Promise<number> {
  return await withSession(o, (s) => revokeTokens(ids, s));
}

/** Takes ids, or whole tokens. */
export async function revokeTokens(ids: readonly string[], s: Session): Promise<number> {
  let exitCode = 0;
  for (const text of ids) {
    const id = text.split('.')[0] ?? '';
    if (!/^[a-z0-9]{6}$/.test(id)) throw wrongUse(`"${text}" is no token id: 'berth token list' shows them`);
    try {
      await s.client.delete(Kinds.secrets, { namespace: NAMESPACE, name: PREFIX + id }, {}, s.c);
      s.out.write(`token ${id} revoked\n`);
    } catch (e) {
      if (!isKind(e, 'NotFound')) throw e;
      s.err.write(`berth token revoke: there is no token ${id}: it was used, has expired or was revoked\n`);
      exitCode = 1;
    }
  }
  return exitCode;
}

function isJoinToken(x: DeepReadonly<Secret>): boolean {
  return x.type === TYPE && x.metadata.name.startsWith(PREFIX);
}

function field(secret: DeepReadonly<Secret>, name: string): string {
  return Buffer.from(secret.data?.[name] ?? '', 'base64').toString('utf8');
}
