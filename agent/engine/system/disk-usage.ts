/** `GET /system/df`: the engine's own lists, with sizes. Source: moby daemon/server/router/system (getDiskUsage), daemon/disk_usage.go. */
import type { Ctx } from '#lib/base';
import type { JsonObject } from '#lib/oci';
import { badParameter, type EngineRequest, type EngineRoute } from '../http/contract.ts';
import type { DiskUsage, EngineHost, EnginePart } from '../parts.ts';
import { ownList } from './own-answers.ts';

export interface DiskUsagePorts {
  readonly images: Pick<EngineHost['images'], 'catalog'>;
  /** Those that there are when it is asked. */
  readonly parts: readonly EnginePart[];
}

const TYPES_SINCE = 42;
const TYPES = ['container', 'image', 'volume', 'build-cache'] as const;
type Type = (typeof TYPES)[number];

export function diskUsageRoute(ports: DiskUsagePorts): EngineRoute {
  return {
    method: 'GET',
    path: '/system/df',
    async handle(r, reply) {
      const wanted = wantedTypes(r);
      const told = toldBy(ports.parts, r);
      const all: DiskUsage[] = [];
      for (const type of TYPES) if (wanted.has(type)) all.push(await usageOf(type, ports, told, r));
      /* null: not asked for. */
      const none = { LayersSize: 0, Images: null, Containers: null, Volumes: null, BuildCache: null };
      const answer = Object.assign({}, none, ...all);
      reply.json(200, r.version < TYPES_SINCE ? { ...answer, BuilderSize: sizeOf(answer.BuildCache ?? []) } : answer);
    },
  };
}

type Told = () => Promise<readonly DiskUsage[]>;

/** Parts walk folders for it: each is asked once a request. */
function toldBy(parts: readonly EnginePart[], { version, c }: EngineRequest): Told {
  let answers: Promise<readonly DiskUsage[]> | undefined;
  return () => {
    answers ??= Promise.all(parts.map(async (part) => (await part.diskUsage?.(version, c)) ?? {}));
    return answers;
  };
}

function wantedTypes(r: EngineRequest): ReadonlySet<Type> {
  const asked = r.query.all('type');
  if (r.version < TYPES_SINCE || asked.length === 0) return new Set(TYPES);
  return new Set(
    asked.map((text) => {
      const type = TYPES.find((t) => t === text);
      if (type === undefined) throw badParameter(`unknown object type: ${text}`);
      return type;
    }),
  );
}

async function usageOf(type: Type, p: DiskUsagePorts, told: Told, { version, c }: EngineRequest): Promise<DiskUsage> {
  if (type === 'container') return { Containers: await list(p, '/containers/json', 'all=1&size=1', version, c) };
  if (type === 'build-cache') return { BuildCache: (await told()).flatMap((t) => t.BuildCache ?? []) };
  if (type === 'volume') return { Volumes: (await told()).flatMap((t) => t.Volumes ?? []) };
  const layers = await p.images.catalog.layerBytes();
  const Images = await list(p, '/images/json', 'all=1&shared-size=1', version, c);
  return { Images, LayersSize: [...layers.values()].reduce((a, b) => a + b, 0) };
}

function list(p: DiskUsagePorts, path: string, query: string, version: number, c: Ctx): Promise<readonly JsonObject[]> {
  return ownList(p.parts, { path, query, version }, c);
}

function sizeOf(cache: readonly object[]): number {
  const sizes = cache.map((b) => ('Size' in b && typeof b.Size === 'number' ? b.Size : 0));
  return sizes.reduce((a, b) => a + b, 0);
}
