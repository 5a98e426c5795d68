/** `GET /system/df`: what each part says of itself. Source: moby daemon/server/router/system (getDiskUsage). */
import { badParameter, type EngineRequest, type EngineRoute } from '../http/contract.ts';
import type { DiskUsage, EnginePart } from '../parts.ts';

const TYPES_SINCE = 42;
const FIELDS: Readonly<Record<string, readonly (keyof DiskUsage)[]>> = {
  container: ['Containers'],
  image: ['Images', 'LayersSize'],
  volume: ['Volumes'],
  'build-cache': ['BuildCache'],
};

/** `parts`: those that there are when it is asked. */
export function diskUsageRoute(parts: readonly EnginePart[]): EngineRoute {
  return {
    method: 'GET',
    path: '/system/df',
    async handle(r, reply) {
      const wanted = wantedTypes(r);
      const told = await Promise.all(parts.map((p) => p.diskUsage?.(r.version, r.c) ?? {}));
      const all: DiskUsage = Object.assign({}, ...told);
      const out = new Map<string, unknown>([['LayersSize', 0]]);
      for (const [type, fields] of Object.entries(FIELDS))
        for (const field of fields) out.set(field, wanted.has(type) ? (all[field] ?? empty(field)) : absent(field));
      reply.json(200, { ...Object.fromEntries(out), ...(r.version < TYPES_SINCE ? { BuilderSize: sizeOf(all) } : {}) });
    },
  };
}

function wantedTypes(r: EngineRequest): ReadonlySet<string> {
  const asked = r.query.all('type');
  if (r.version < TYPES_SINCE || asked.length === 0) return new Set(Object.keys(FIELDS));
  for (const type of asked) if (!Object.hasOwn(FIELDS, type)) throw badParameter(`unknown object type: ${type}`);
  return new Set(asked);
}

function empty(field: keyof DiskUsage): unknown {
  return field === 'LayersSize' ? 0 : [];
}

/** Of a type that was not asked for. */
function absent(field: keyof DiskUsage): unknown {
  return field === 'LayersSize' ? 0 : null;
}

function sizeOf({ BuildCache = [] }: DiskUsage): number {
  const sizes = BuildCache.map((b) => ('Size' in b && typeof b.Size === 'number' ? b.Size : 0));
  return sizes.reduce((a, b) => a + b, 0);
}
