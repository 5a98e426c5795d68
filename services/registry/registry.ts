/**
 * The image registry: OCI distribution spec 1.1 over node:http, content-addressed on disk, crash-safe (docs/registry.md). It runs in
 * a process of its own (main.ts), because hashing blobs must not delay the API, and imports little, because it mostly idles.
 */

import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { type Clock, type Ctx, type Logger, type Random, Scope } from '#lib/base';
import { type ContentStore, FolderContentStore } from '#lib/oci';
import { Caller, type Door } from './access/caller.ts';
import type { Identity } from './access/identity.ts';
import { requireRight } from './access/require.ts';
import { RegistryTokens } from './access/tokens.ts';
import { Collector } from './collection/collector.ts';
import { collectRoute } from './collection/command.ts';
import { Leases } from './collection/leases.ts';
import { Maintenance } from './collection/maintenance.ts';
import { Retention } from './collection/retention.ts';
import type { Needed } from './collection/retention-plan.ts';
import { Doors, type DoorTls } from './doors.ts';
import { registryError, sendError } from './errors.ts';
import type { RegistryState } from './exchange.ts';
import { Quotas } from './quotas.ts';
import { Recent } from './recent.ts';
import { Repositories } from './repository.ts';
import { route } from './routes.ts';
import type { S3Settings } from './s3/bucket.ts';
import { DEFAULT_SETTINGS, type RegistrySettings } from './settings.ts';
import { Uploads } from './uploads.ts';
import { Upstreams } from './upstream/upstreams.ts';

export interface RegistryOptions {
  readonly listen: { readonly host: string; readonly port: number };
  /** Everything the registry keeps lies below; made when absent. */
  readonly folder: string;
  /** Where the content is instead of in the folder; the rest stays there. */
  readonly s3?: S3Settings | undefined;
  readonly log: Logger;
  readonly clock: Clock;
  readonly random: Random;
  /** Absent = plain http. */
  readonly tls?: DoorTls | undefined;
  /** Read at every request. */
  readonly settings?: (() => RegistrySettings) | undefined;
  /** Of the doors beside loopback (doors.ts); absent = there are none. */
  readonly socketsFolder?: string | undefined;
  /** The cluster whose users may log in, and whose images retention keeps; absent = there is none. */
  readonly cluster?: RegistryCluster | undefined;
}

export interface RegistryCluster {
  readonly identity: Identity;
  readonly needed: (c: Ctx) => Promise<Needed>;
}

export interface Registry extends AsyncDisposable {
  /** `http://127.0.0.1:5000`, with the port that was really taken. */
  readonly url: string;
  /** host:port, as it stands at the head of an image reference. */
  readonly host: string;
  readonly maintenance: Maintenance;
}

const RECENT_MANIFEST_BYTES = 16 * 1024 * 1024;
const NOTHING_NEEDED: Needed = { digests: new Set(), tags: new Set() };

interface Parts {
  readonly state: RegistryState;
  readonly identity: Identity | undefined;
  readonly maintenance: Maintenance;
  readonly upstreams: Upstreams;
  readonly ctx: Ctx;
  readonly isTls: boolean;
}

/** Resolves when the socket listens. Unavailable when the port is taken. */
export async function startRegistry(o: RegistryOptions): Promise<Registry> {
  const { clock, log, random } = o;
  const scope = new Scope('registry');
  const ctx: Ctx = { signal: scope.signal, clock, log };
  const settings = o.settings ?? (() => DEFAULT_SETTINGS);
  const content = await openContent(o, scope);
  const repositories = await Repositories.open(join(o.folder, 'repositories'));
  const leases = new Leases(clock);
  const needed = o.cluster?.needed ?? (() => Promise.resolve(NOTHING_NEEDED));
  const maintenance = new Maintenance({
    collector: new Collector({ content, repositories, leases, clock, log }),
    retention: new Retention({ content, repositories, needed }),
    settings,
  });
  const uploads = scope.own(new Uploads({ content, clock, random, log }));
  const state: RegistryState = {
    ...{ content, repositories, uploads, leases, settings, clock, random, log },
    recentManifests: new Recent<Buffer>({ sizeMax: RECENT_MANIFEST_BYTES, sizeOf: (b) => b.length }),
    quotas: new Quotas({ content, repositories, settings, clock }),
    tokens: new RegistryTokens({ random, clock }),
  };
  const upstreams = scope.own(new Upstreams({ content, repositories, leases, settings, random }));
  const isTls = o.tls !== undefined;
  const parts: Parts = { state, identity: o.cluster?.identity, maintenance, upstreams, ctx, isTls };
  const listener = (door: Door, req: IncomingMessage, res: ServerResponse): void => {
    answer(parts, door, req, res).catch((e: unknown) => log.error({ err: e }, 'a request could not be answered'));
  };
  const doors = scope.own(new Doors({ clock, listener }));
  let port: number;
  try {
    port = await doors.openLoopback(o.listen, o.tls);
    if (o.socketsFolder !== undefined) await doors.openSockets(o.socketsFolder);
  } catch (e) {
    await scope[Symbol.asyncDispose]();
    throw e;
  }
  scope.spawn('maintenance', (signal) => maintenance.run({ ...ctx, signal }));
  const host = `${o.listen.host.includes(':') ? `[${o.listen.host}]` : o.listen.host}:${port}`;
  return {
    url: `${o.tls ? 'https' : 'http'}://${host}`,
    host,
    maintenance,
    [Symbol.asyncDispose]: () => scope[Symbol.asyncDispose](),
  };
}

/** The S3 driver is loaded where it is wanted: most registries have none, and mostly idle. */
async function openContent(o: RegistryOptions, scope: Scope): Promise<ContentStore> {
  const { s3: settings, clock, random, log } = o;
  if (settings === undefined) return FolderContentStore.open(join(o.folder, 'content'), { keepIngests: true });
  const { S3ContentStore } = await import('./s3/store.ts');
  const store = await S3ContentStore.open({ settings, folder: join(o.folder, 's3'), clock, random, log });
  return scope.own(store);
}

async function answer(parts: Parts, door: Door, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const { state, ctx, isTls } = parts;
  res.setHeader('docker-distribution-api-version', 'registry/2.0');
  try {
    const method = req.method ?? 'GET';
    const { path, query } = addressOf(req.url ?? '/');
    if (door === 'admin' && (await collectRoute(parts.maintenance, { path, query }, { ctx, req, res }))) return;
    const { name, reference, handler, right, content } = route(method, path);
    const target = parts.upstreams.targetOf(name, query.get('ns'));
    const callerWith = (authorization: string | undefined): Caller =>
      new Caller({
        ...{ door, authorization, identity: parts.identity },
        settings: state.settings(),
        tokens: state.tokens,
      });
    const x = {
      ...state,
      ...{ req, res, method, reference, ctx, isTls, callerWith },
      caller: callerWith(req.headers.authorization),
      query,
      repository: state.repositories.get(target?.localName ?? name),
    };
    if (right !== undefined) await requireRight(x, right);
    if (target !== undefined && (right === 'create' || right === 'update'))
      throw registryError(
        'DENIED',
        `${x.repository.name} is kept from ${target.upstream.host}: nothing is pushed there`,
      );
    if (target !== undefined && content !== undefined) await parts.upstreams.bring(target, content, reference, ctx);
    await handler(x);
  } catch (e) {
    sendError(req, res, e, state.log);
  }
}

/** The path as it came: a URL's parser would take `..`, `%2e%2e` and backslashes out of it, and so make one name of another. */
function addressOf(url: string): { readonly path: string; readonly query: URLSearchParams } {
  const relative = url.replace(/^https?:\/\/[^/?]*/, '');
  const mark = relative.indexOf('?');
  const path = mark < 0 ? relative : relative.slice(0, mark);
  return { path, query: new URLSearchParams(mark < 0 ? '' : relative.slice(mark + 1)) };
}
