/** `_ping` and `/version`: what a client asks first. Source: moby daemon/server/router/system (pingHandler), daemon/info.go (SystemVersion). */
import { arch, release } from 'node:os';
import type { EngineReply, EngineRequest, EngineRoute } from '../http/contract.ts';
import { NEWEST_TEXT, OLDEST_TEXT } from '../http/version.ts';
import type { EngineHost } from '../parts.ts';

/** Builder-Version 1: builds go to `POST /build`, not to BuildKit's sessions. */
const PING_HEADERS = {
  'Cache-Control': 'no-cache, no-store, must-revalidate',
  Pragma: 'no-cache',
  'Builder-Version': '1',
  Swarm: 'inactive',
  'Content-Type': 'text/plain; charset=utf-8',
} as const;

/** The names Docker gives machines. */
const GO_ARCH: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386', ppc64: 'ppc64le' };

export function pingRoutes(host: Pick<EngineHost, 'version'>): readonly EngineRoute[] {
  return [
    { method: 'HEAD', path: '/_ping', handle: async (_, reply) => reply.empty(200, PING_HEADERS) },
    { method: 'GET', path: '/_ping', handle: async (_, reply) => pong(reply) },
    { method: 'GET', path: '/version', handle: (r, reply) => serveVersion(host, r, reply) },
  ];
}

function pong(reply: EngineReply): void {
  const { 'Content-Type': type, ...headers } = PING_HEADERS;
  reply.stream(type, { headers: { ...headers, 'Content-Length': '2' } }).end('OK');
}

async function serveVersion(host: Pick<EngineHost, 'version'>, _: EngineRequest, reply: EngineReply): Promise<void> {
  const architecture = arch();
  const facts = {
    Version: host.version,
    ApiVersion: NEWEST_TEXT,
    MinAPIVersion: OLDEST_TEXT,
    GitCommit: '',
    /* Of a program in another language there is none; clients show the line as it is. */
    GoVersion: `node ${process.version}`,
    Os: 'linux',
    Arch: GO_ARCH[architecture] ?? architecture,
    KernelVersion: release(),
    BuildTime: '',
  };
  const { Version, ...details } = facts;
  reply.json(200, {
    Platform: { Name: 'Berth' },
    Components: [{ Name: 'Engine', Version, Details: { ...details, Experimental: 'false' } }],
    ...facts,
  });
}
