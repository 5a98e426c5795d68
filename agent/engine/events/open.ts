/** `GET /events`. Source: moby daemon/server/router/system/system_routes.go (getEvents). */
import type { Ctx } from '#lib/base';
import { badParameter, type EngineReply, type EngineRequest, type EngineRoute } from '../http/contract.ts';
import { JsonLines } from '../http/lines.ts';
import { microsOf } from '../http/timestamps.ts';
import type { EngineHost, EnginePart } from '../parts.ts';
import { Events, type TimedEvent } from './events.ts';
import { EVENT_FILTERS, matches } from './filter.ts';

export interface OpenEvents extends EnginePart {
  readonly events: Events;
}

/** From then on images tell of their creation. */
const IMAGE_CREATE_SINCE = 46;

export function openEvents(host: Pick<EngineHost, 'clock'>): OpenEvents {
  const events = new Events(host.clock);
  const route: EngineRoute = {
    method: 'GET',
    path: '/events',
    handle: (r, reply) => serveEvents(events, r, reply),
  };
  return { events, routes: [route] };
}

async function serveEvents(events: Events, r: EngineRequest, reply: EngineReply): Promise<void> {
  const since = microsOf(r.query.get('since'));
  const until = microsOf(r.query.get('until'));
  if (until !== undefined && since !== undefined && until < since)
    throw badParameter(
      `\`since\` time (${r.query.get('since')}) cannot be after \`until\` time (${r.query.get('until')})`,
    );
  const filters = r.filters(EVENT_FILTERS);
  const isWanted = ({ event }: TimedEvent): boolean =>
    matches(event, filters) && (r.version >= IMAGE_CREATE_SINCE || event.type !== 'image' || event.action !== 'create');
  const leftMs = until === undefined ? undefined : until / 1000 - r.c.clock.now();
  const lines = new JsonLines(reply.stream('application/json'), { end: '\n' });
  using following = events.follow({ since, until }, r.c);
  for (const e of following.past) if (isWanted(e)) await lines.writeText(e.line);
  if (leftMs === undefined || leftMs > 0) {
    using _ = endAfter(leftMs, following, r.c);
    for await (const e of following.next) if (isWanted(e)) await lines.writeText(e.line);
  }
  lines.end();
}

function endAfter(ms: number | undefined, following: Disposable, c: Ctx): Disposable {
  const timer = ms === undefined ? undefined : c.clock.after(ms, () => following[Symbol.dispose](), { unref: true });
  return { [Symbol.dispose]: () => timer?.cancel() };
}
