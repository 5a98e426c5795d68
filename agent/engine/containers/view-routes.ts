/** The routes that look at containers. Source: moby daemon/server/router/container/container_routes.go, inspect.go, list.go, stats.go. */
import type { Ctx, Digest } from '#lib/base';
import {
  badParameter,
  conflict,
  EngineError,
  type EngineReply,
  type EngineRequest,
  type EngineRoute,
} from '../http/contract.ts';
import { JsonLines } from '../http/lines.ts';
import { untilOf } from '../http/timestamps.ts';
import type { ImageDocument } from '../types.ts';
import type { Container, Containers } from './containers.ts';
import { isRunning } from './life/state.ts';
import { statsSample, topOf, writtenBytes } from './measure.ts';
import { inspectOf } from './view/inspect.ts';
import { LIST_FILTERS, type ListItem, selected, summaryOf } from './view/list.ts';
import { emptyStats, type StatsSample, statsView } from './view/stats.ts';

const STATS_EVERY_MS = 1000;
const SIZES_PARALLEL = 4;

export function viewRoutes(all: Containers): readonly EngineRoute[] {
  const get = (path: string, handle: EngineRoute['handle']): EngineRoute => ({ method: 'GET', path, handle });
  let isPruning = false;
  return [
    get('/containers/json', async (r, reply) => reply.json(200, await list(all, r))),
    get('/containers/{id}/json', async (r, reply) => reply.json(200, await inspect(all, r))),
    get('/containers/{id}/top', async (r, reply) => {
      const { life } = all.find(r.params['id'] ?? '');
      runningPid(life);
      const top = await topOf(all.host.kernel, all.cgroupOf(life.record), r.query.get('ps_args') ?? '', r.c);
      all.emit(life.record, 'top');
      reply.json(200, top);
    }),
    get('/containers/{id}/stats', (r, reply) => stats(all, r, reply)),
    {
      method: 'POST',
      path: '/containers/prune',
      handle: async (r, reply) => {
        if (isPruning) throw conflict('a prune operation is already running');
        isPruning = true;
        try {
          reply.json(200, await prune(all, r));
        } finally {
          isPruning = false;
        }
      },
    },
  ];
}

function itemOf(all: Containers, c: Container): ListItem {
  const { record, status, life } = c;
  const { state, exitCode } = life;
  const isUp = state.phase === 'running' || state.phase === 'paused' || state.phase === 'exited';
  const health = isUp ? all.health.of(c.id) : undefined;
  return { record, state, status, exitCode, health, network: all.ports.networks.view(c.id) };
}

function networkIds(all: Containers, c: Pick<Container, 'record'>): Readonly<Record<string, string>> {
  const out: Record<string, string> = {};
  for (const name of Object.keys(c.record.endpoints)) {
    try {
      out[name] = all.ports.networks.resolve(name).id;
    } catch {
      /* It was removed: the endpoint is shown without. */
    }
  }
  return out;
}

async function list(all: Containers, r: EngineRequest): Promise<object[]> {
  const filters = r.filters(LIST_FILTERS);
  const ancestors = new Set<Digest>();
  for (const text of filters.get('ancestor')) {
    const found = await all.ports.images.find(text, r.c).catch(() => undefined); // nobody stands on it
    if (found !== undefined) ancestors.add(found.document.id);
    for (const id of new Set(all.all().map((i) => i.record.imageId))) {
      const own = await all.ports.images.byId(id, r.c);
      if (found !== undefined && own !== undefined && isMadeOf(own.document, found.document)) ancestors.add(id);
    }
  }
  const idOf = (key: string): string | undefined => {
    const [text] = filters.get(key);
    return text === undefined ? undefined : all.find(text).id;
  };
  const limit = Math.max(0, r.query.int('limit', 0));
  const wish = { all: r.query.bool('all'), limit, filters, ancestors, before: idOf('before'), since: idOf('since') };
  const items = selected(
    all.all().map((c) => itemOf(all, c)),
    wish,
  );
  const nowMs = r.c.clock.now();
  const names = await imageNames(all, items, r.c);
  const sizes = r.query.bool('size') ? await sizesOf(all, items, r.c) : new Map<string, never>();
  return items.map((i) => {
    const { id, imageId, config } = i.record;
    const image = names.get(config.Image) === imageId ? config.Image : imageId;
    return summaryOf(i, { image, nowMs, networkIds: networkIds(all, i), size: sizes.get(id) });
  });
}

/** By its layers. Source: moby daemon/containerd/image_children.go. */
function isMadeOf(image: ImageDocument, base: ImageDocument): boolean {
  const { diffIds } = base;
  return diffIds.length > 0 && diffIds.every((diffId, i) => image.diffIds[i] === diffId);
}

/** What the names that containers were made of stand for today. */
async function imageNames(all: Containers, items: readonly ListItem[], c: Ctx): Promise<ReadonlyMap<string, Digest>> {
  const out = new Map<string, Digest>();
  for (const name of new Set(items.map((i) => i.record.config.Image))) {
    const found = await all.ports.images.find(name, c).catch(() => undefined); // removed meanwhile
    if (found !== undefined) out.set(name, found.document.id);
  }
  return out;
}

type Size = { readonly rw: number; readonly root: number };

async function sizesOf(all: Containers, items: readonly ListItem[], c: Ctx): Promise<ReadonlyMap<string, Size>> {
  const out = new Map<string, Size>();
  const left = [...items];
  const work = async (): Promise<void> => {
    for (let i = left.pop(); i !== undefined; i = left.pop()) {
      const size = await sizeOf(all, i.record.id, c).catch(whenGone);
      if (size !== undefined) out.set(i.record.id, size);
    }
  };
  await Promise.all(Array.from({ length: SIZES_PARALLEL }, work));
  return out;
}

/** One that is removed in this moment has no size. */
function whenGone(e: unknown): undefined {
  if (e instanceof EngineError && e.status === 404) return undefined;
  throw e;
}

async function sizeOf(all: Containers, id: string, c: Ctx): Promise<Size> {
  const container = all.find(id);
  const rw = await writtenBytes(all.host.kernel, await container.mountRoot(c), c);
  const image = await all.ports.images.byId(container.record.imageId, c);
  return { rw, root: rw + (image?.image.sizeBytes ?? 0) };
}

async function inspect(all: Containers, r: EngineRequest): Promise<object> {
  const container = all.find(r.params['id'] ?? '');
  const size = r.query.bool('size') ? await sizeOf(all, container.id, r.c) : undefined;
  const rootfs = await container.mountRoot(r.c).catch(() => ''); // it is being removed
  return inspectOf({
    ...itemOf(all, container),
    ...{ networkIds: networkIds(all, container), folder: all.store.folderOf(container.id) },
    ...{ logPath: container.logPath, rootfs, size, execIds: all.execIds(container.id) },
  });
}

function runningPid(life: Container['life']): number {
  const { state } = life;
  if (state.phase === 'restarting')
    throw conflict(`Container ${life.id} is restarting, wait until the container is running`);
  if (state.phase !== 'running' && state.phase !== 'paused') throw conflict(`container ${life.id} is not running`);
  return state.run.pid;
}

async function stats(all: Containers, r: EngineRequest, reply: EngineReply): Promise<void> {
  const container = all.find(r.params['id'] ?? '');
  const { life, id } = container;
  const isStream = r.query.get('stream') === undefined || r.query.bool('stream');
  const isOneShot = r.query.bool('one-shot');
  if (isStream && isOneShot) throw badParameter('cannot have stream=true and one-shot=true');
  const about = () => ({ id, name: life.record.name });
  const sample = async (): Promise<StatsSample | undefined> => {
    const { state, record } = life;
    if (state.phase !== 'running' && state.phase !== 'paused') return undefined;
    const isHostNetwork = record.hostConfig.NetworkMode === 'host';
    return statsSample(all.host.kernel, { cgroup: all.cgroupOf(record), pid: state.run.pid, isHostNetwork }, r.c);
  };
  const view = (now: StatsSample | undefined, before: StatsSample | undefined): object =>
    now === undefined ? emptyStats(about()) : statsView(now, before, about());
  if (!isStream) {
    let before: StatsSample | undefined;
    if (!isOneShot && isRunning(life.state)) {
      before = await sample();
      await r.c.clock.sleep(STATS_EVERY_MS, r.c.signal);
    }
    return reply.json(200, view(await sample(), before));
  }
  const lines = new JsonLines(reply.stream('application/json'), { end: '\n' });
  for (let before: StatsSample | undefined; life.state.phase !== 'gone'; ) {
    const now = await sample();
    await lines.write(view(now, before));
    before = now;
    await r.c.clock.sleep(STATS_EVERY_MS, r.c.signal);
  }
  lines.end();
}

async function prune(all: Containers, r: EngineRequest): Promise<object> {
  const filters = r.filters(['label', 'label!', 'until']);
  const until = untilOf(filters, r.c.clock.now());
  const removed: string[] = [];
  let reclaimed = 0;
  for (const { id, life } of all.list()) {
    r.c.signal.throwIfAborted();
    const { record } = life;
    const isWanted = (until === undefined || record.createdAtMs <= until) && filters.hasLabels(record.config.Labels);
    if (isRunning(life.state) || !isWanted) continue;
    try {
      const { rw } = await sizeOf(all, id, r.c);
      await life.remove({ force: false, volumes: false });
      reclaimed += rw;
      removed.push(id);
    } catch (e) {
      r.c.signal.throwIfAborted();
      r.c.log.warn({ err: e, container: id }, 'a container is not pruned');
    }
  }
  const attributes = { reclaimed: String(reclaimed) };
  all.ports.events.emit({ type: 'container', action: 'prune', id: '', attributes });
  return { ContainersDeleted: removed, SpaceReclaimed: reclaimed };
}
