/** /volumes. Source: moby api/server/router/volume/volume_routes.go, volume/service/service.go. */
import { type Ctx, timeText } from '#lib/base';
import { asString, asStringMap, optional } from '#lib/oci';
import { badParameter, conflict, type EngineRoute, notFound } from '../http/contract.ts';
import { isNamed } from '../http/name-match.ts';
import type { EngineVolume } from '../parts.ts';
import type { LocalVolumes } from './open.ts';

/** Before it prune took named volumes too. */
const PRUNE_ANONYMOUS_SINCE = 42;

export function volumeRoutes(volumes: LocalVolumes): readonly EngineRoute[] {
  return [
    ...readRoutes(volumes),
    {
      method: 'POST',
      path: '/volumes/create',
      handle: async (r, reply) => {
        const body = (await r.json()) ?? {};
        if (body['ClusterVolumeSpec'] !== undefined && body['ClusterVolumeSpec'] !== null)
          throw badParameter('cluster volumes are of Swarm, which this engine has not: use kubectl');
        const read = <T>(key: string, as: (v: unknown, what: string) => T): T | undefined => {
          try {
            return optional(body[key], as, key);
          } catch (e) {
            throw badParameter(e instanceof Error ? e.message : String(e));
          }
        };
        const volume = await volumes.create(
          {
            name: read('Name', asString),
            driver: read('Driver', asString),
            labels: read('Labels', asStringMap),
            options: read('DriverOpts', asStringMap),
          },
          r.c,
        );
        reply.json(201, shapeOf(volume));
      },
    },
    {
      method: 'DELETE',
      path: '/volumes/{name}',
      handle: async (r, reply) => {
        await volumes.remove(r.params['name'] ?? '', { force: r.query.bool('force') }, r.c);
        reply.empty(204);
      },
    },
    pruneRoute(volumes),
  ];
}

function readRoutes(volumes: LocalVolumes): readonly EngineRoute[] {
  return [
    {
      method: 'GET',
      path: '/volumes',
      handle: async (r, reply) => {
        const filters = r.filters(['dangling', 'driver', 'label', 'name']);
        const isDangling = filters.bool('dangling');
        const list = volumes
          .list()
          .filter(
            (v) =>
              filters.isExact('driver', v.driver) &&
              filters.hasLabels(v.labels) &&
              isNamed(filters, 'name', v.name) &&
              (isDangling === undefined || isDangling !== volumes.isUsed(v.name)),
          );
        reply.json(200, { Volumes: list.map(shapeOf), Warnings: null });
      },
    },
    {
      method: 'GET',
      path: '/volumes/{name}',
      handle: async (r, reply) => {
        const name = r.params['name'] ?? '';
        const volume = volumes.get(name);
        if (volume === undefined) throw notFound(`get ${name}: no such volume`);
        reply.json(200, shapeOf(volume));
      },
    },
  ];
}

function pruneRoute(volumes: LocalVolumes): EngineRoute {
  let isPruning = false;
  return {
    method: 'POST',
    path: '/volumes/prune',
    handle: async (r, reply) => {
      const filters = r.filters(['label', 'label!', 'all']);
      const isAll = filters.bool('all') ?? r.version < PRUNE_ANONYMOUS_SINCE;
      if (isPruning) throw conflict('a prune operation is already running');
      isPruning = true;
      try {
        const VolumesDeleted: string[] = [];
        let SpaceReclaimed = 0;
        for (const v of volumes.list()) {
          const isWanted = (isAll || v.isAnonymous) && filters.hasLabels(v.labels);
          // What is mounted from elsewhere takes no space here.
          if (!isWanted || Object.keys(v.options).length > 0 || volumes.isUsed(v.name)) continue;
          const bytes = await volumes.sizeBytes(v.name, r.c);
          try {
            await volumes.remove(v.name, { force: true }, r.c);
          } catch (err) {
            r.c.signal.throwIfAborted();
            r.c.log.warn({ err, volume: v.name }, 'a volume could not be pruned');
            continue;
          }
          VolumesDeleted.push(v.name);
          SpaceReclaimed += bytes;
        }
        volumes.pruned(SpaceReclaimed);
        reply.json(200, { VolumesDeleted, SpaceReclaimed });
      } finally {
        isPruning = false;
      }
    },
  };
}

/** For /system/df: what is mounted from elsewhere takes no space here. Source: moby volume/service LocalVolumesSize. */
export async function volumeUsage(volumes: LocalVolumes, c: Ctx): Promise<readonly object[]> {
  const out: object[] = [];
  for (const v of volumes.list()) {
    if (Object.keys(v.options).length > 0) continue;
    const UsageData = { Size: await volumes.sizeBytes(v.name, c), RefCount: volumes.usersCount(v.name) };
    out.push({ ...shapeOf(v), UsageData });
  }
  return out;
}

function shapeOf(v: EngineVolume): object {
  const orNull = (o: Readonly<Record<string, string>>): object | null => (Object.keys(o).length === 0 ? null : o);
  return {
    CreatedAt: timeText(v.createdAtMs),
    Driver: v.driver,
    Labels: orNull(v.labels),
    Mountpoint: v.mountpoint,
    Name: v.name,
    Options: orNull(v.options),
    Scope: 'local',
  };
}
