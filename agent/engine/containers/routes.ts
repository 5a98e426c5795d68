/** The routes of one container's life. Source: moby daemon/server/router/container/container_routes.go. */
import { raceAbort } from '#lib/base';
import { badParameter, EngineError, type EngineRequest, type EngineRoute } from '../http/contract.ts';
import type { Containers } from './containers.ts';
import { noBody } from './create/create.ts';
import { createBodyOf, hostConfigOf } from './create/decode.ts';
import { checkResources } from './create/validate-resources.ts';
import { SIGKILL, signalOf } from './life/signals.ts';
import { isRunning } from './life/state.ts';
import type { Condition } from './life/waiters.ts';
import { limitsOf } from './run/resources.ts';
import { checkPolicy, updated } from './update.ts';

/** Before them a body at a start was a HostConfig. */
const START_BODY_MAX = 7;
const WAIT_CONDITIONS: Readonly<Record<string, Condition>> = {
  '': 'not-running',
  'not-running': 'not-running',
  'next-exit': 'next-exit',
  removed: 'removed',
};
/** From then on an unknown condition is an error. */
const STRICT_WAIT = 42;

export function lifeRoutes(all: Containers): readonly EngineRoute[] {
  const life = (r: EngineRequest) => all.find(r.params['id'] ?? '').life;
  const post = (path: string, handle: EngineRoute['handle']): EngineRoute => ({ method: 'POST', path, handle });
  return [
    post('/containers/create', async (r, reply) => {
      const body = await r.json();
      if (body === undefined) throw noBody();
      const platform = r.query.get('platform') ?? '';
      const o = { name: r.query.get('name') ?? '', version: r.version, platform };
      const { id, warnings } = await all.create(createBodyOf(body), o, r.c);
      reply.json(201, { Id: id, Warnings: warnings });
    }),
    post('/containers/{id}/start', async (r, reply) => {
      refuseCheckpoint(r);
      if (Number(r.headers['content-length'] ?? 0) > START_BODY_MAX && r.version >= 24)
        throw badParameter(
          'starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24',
        );
      reply.empty((await life(r).start()) === 'started' ? 204 : 304);
    }),
    post('/containers/{id}/stop', async (r, reply) => {
      reply.empty((await life(r).stop(stopOptions(r))) === 'stopped' ? 204 : 304);
    }),
    post('/containers/{id}/restart', async (r, reply) => {
      await life(r).restart(stopOptions(r));
      reply.empty(204);
    }),
    post('/containers/{id}/kill', async (r, reply) => {
      const number = signalOf(r.query.get('signal') || 'SIGKILL');
      const container = life(r);
      if (!isRunning(container.state))
        throw new EngineError(
          409,
          `cannot kill container: ${r.params['id']}: container ${container.id} is not running`,
        );
      await (number === SIGKILL ? container.kill() : container.signal(number));
      reply.empty(204);
    }),
    post('/containers/{id}/pause', async (r, reply) => {
      await life(r).pause();
      reply.empty(204);
    }),
    post('/containers/{id}/unpause', async (r, reply) => {
      await life(r).unpause();
      reply.empty(204);
    }),
    post('/containers/{id}/rename', async (r, reply) => {
      const name = r.query.get('name') ?? '';
      if (name === '') throw badParameter('Neither old nor new names may be empty');
      if (life(r).record.name === name.replace(/^\//, ''))
        throw badParameter('Renaming a container with the same name as its current name');
      await all.rename(r.params['id'] ?? '', name, r.c);
      reply.empty(204);
    }),
    post('/containers/{id}/update', async (r, reply) => {
      const { id } = life(r);
      reply.json(200, { Warnings: await update(all, id, r) });
    }),
    post('/containers/{id}/wait', async (r, reply) => {
      const wish = r.query.get('condition') ?? '';
      const condition = WAIT_CONDITIONS[wish] ?? (r.version < STRICT_WAIT ? 'not-running' : undefined);
      if (condition === undefined) throw badParameter(`invalid condition: "${wish}"`);
      /* Begun before the client hears of it, so that it may start the container then. */
      const ended = life(r).wait(condition, r.c.signal);
      ended.catch(() => undefined);
      const output = reply.stream('application/json');
      const { exitCode, error } = await raceAbort(ended, r.c.signal);
      output.end(
        `${JSON.stringify({ StatusCode: exitCode, ...(error === '' ? {} : { Error: { Message: error } }) })}\n`,
      );
    }),
    {
      method: 'DELETE',
      path: '/containers/{id}',
      handle: async (r, reply) => {
        if (r.query.bool('link'))
          throw new EngineError(409, 'Conflict, cannot remove the default link name of the container');
        await life(r).remove({ force: r.query.bool('force'), volumes: r.query.bool('v') });
        reply.empty(204);
      },
    },
  ];
}

function refuseCheckpoint(r: EngineRequest): void {
  if ((r.query.get('checkpoint') ?? '') !== '') throw badParameter('checkpoint is only supported in experimental mode');
}

function stopOptions(r: EngineRequest): { readonly signal?: string; readonly timeoutS?: number } {
  const signal = r.query.get('signal') ?? '';
  if (signal !== '') signalOf(signal);
  const hasTime = (r.query.get('t') ?? '') !== '';
  return { ...(signal === '' ? {} : { signal }), ...(hasTime ? { timeoutS: r.query.int('t', 0) } : {}) };
}

async function update(all: Containers, id: string, r: EngineRequest): Promise<readonly string[]> {
  const wish = hostConfigOf((await r.json()) ?? {}, '');
  checkPolicy(wish);
  const warnings = checkResources(wish, all.machine, { isUpdate: true });
  const { life } = all.find(id);
  const { cgroupVersion: version, hasSwap, hasBlockWeight } = all.machine;
  await life.update(
    (now) => updated(now, wish),
    async (next) => {
      if (life.state.phase !== 'running' && life.state.phase !== 'paused') return;
      const limits = limitsOf(wish, next.hostConfig, { version, hasSwap, hasBlockWeight });
      await all.host.kernel.cgroups.set(all.cgroupOf(next), limits, r.c).catch((e: unknown) => {
        throw new EngineError(500, `Cannot update container ${id}: ${e instanceof Error ? e.message : String(e)}`, {
          cause: e,
        });
      });
    },
  );
  all.emit(life.record, 'update');
  return warnings;
}
