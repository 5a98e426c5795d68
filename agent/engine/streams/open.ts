/** The engine's streams: attach, logs, exec, resize. */
import { type Ctx, Scope } from '#lib/base';
import type { ContainerId } from '../../runtime/runtime.ts';
import type { EngineContainers, EngineEvents, EngineHost, EnginePart } from '../parts.ts';
import { Arrivals } from './arrivals.ts';
import { attachRoutes, resizeRoute } from './attach.ts';
import { execRoutes } from './exec.ts';
import { ExecStore } from './exec-store.ts';
import { logsRoute } from './logs.ts';

export interface StreamsPart extends EnginePart, AsyncDisposable {
  /** Of those that have not ended, for inspect. */
  execIds(containerId: ContainerId): readonly string[];
}

/** Closing leaves every process running. */
export function openStreams(
  host: EngineHost,
  { containers, events }: { containers: EngineContainers; events: EngineEvents },
  c: Ctx,
): StreamsPart {
  const scope = new Scope('streams', c.signal);
  const arrivals = new Arrivals(host, containers);
  const execs = new ExecStore();
  const p = { host, containers, events, arrivals, execs, scope };
  return {
    routes: [...attachRoutes(p), resizeRoute(p), logsRoute(p), ...execRoutes(p)],
    execIds: (id) => execs.of(id),
    [Symbol.asyncDispose]: async () => {
      arrivals[Symbol.dispose]();
      scope.abort();
      for (const session of execs.running()) await session[Symbol.asyncDispose]();
      await scope[Symbol.asyncDispose]();
    },
  };
}
