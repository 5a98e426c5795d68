/** POST /build/prune: steps of the cache are forgotten, their layers removed unless an image has them; folders of cache mounts. */
import type { Builder } from '../../build/node/builder.ts';
import { badParameter, type EngineRequest, type EngineRoute } from '../http/contract.ts';
import { untilOf } from '../http/timestamps.ts';
import type { EngineEvents } from '../parts.ts';

export function pruneRoute(builder: Builder, events: EngineEvents): EngineRoute {
  return {
    method: 'POST',
    path: '/build/prune',
    handle: async (r, reply) => {
      const filters = r.filters(['until', 'unused-for', 'id', 'description']);
      const ids = filters.get('id');
      const descriptions = filters.get('description');
      const all = r.query.bool('all');
      const used = all ? new Set<string>() : await builder.images.builds.layersInUse();
      const keepBytes = keepBytesOf(r);
      const nowMs = r.c.clock.now();
      const until = untilOf(filters, nowMs) ?? untilOf(filters, nowMs, 'unused-for');
      const unusedForMs = until === undefined ? undefined : nowMs - until;
      const gone = await builder.cache.prune({
        keepBytes,
        unusedForMs,
        keeps: (step) =>
          used.has(step.chainId) ||
          (ids.length > 0 && !ids.some((id) => step.key.slice('sha256:'.length).startsWith(id))) ||
          (descriptions.length > 0 && !descriptions.some((d) => step.title.includes(d))),
      });
      const mounts =
        ids.length + descriptions.length > 0 ? [] : await builder.mounts.prune({ keepBytes, unusedForMs }, r.c);
      const swept = await builder.images.builds.sweep(r.c);
      const freed = mounts.reduce((sum, m) => sum + m.bytes, swept);
      const deleted = [...gone.map((s) => s.key.replace(/^sha256:/, '')), ...mounts.map((m) => m.name)];
      events.emit({ type: 'builder', action: 'prune', id: '', attributes: { reclaimed: String(freed) } });
      reply.json(200, { CachesDeleted: deleted, SpaceReclaimed: freed });
    },
  };
}

/** `keep-storage` is what `reserved-space` was called before API 1.48. */
function keepBytesOf(r: EngineRequest): number {
  const given = r.query.int('reserved-space', 0) || r.query.int('keep-storage', 0);
  if (given < 0) throw badParameter('reserved-space is in bytes and expects no negative number');
  return given;
}
