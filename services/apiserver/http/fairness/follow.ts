/** Keeps a FlowControl as the objects of the cluster say, and the conditions of the flow schemas as they are. */
import { Kinds } from '#lib/api';
import { type Ctx, messageOf, Queue } from '#lib/base';
import type { Client } from '#lib/client';
import type { InformerFactory } from '#lib/controller';
import { keepConditions } from '../../bootstrap/flow-control.ts';
import type { FlowControl } from './flow-control.ts';

const RETRY_MS = 10_000;

/** Resolves when what is there has been taken up; goes on until the informers are closed. */
export async function followFlowControl(flows: FlowControl, informers: InformerFactory, c: Ctx): Promise<void> {
  const schemas = informers.informer(Kinds.flowschemas);
  const levels = informers.informer(Kinds.prioritylevelconfigurations);
  await Promise.all([schemas.synced(c.signal), levels.synced(c.signal)]);
  let isDue = false;
  const update = (): void => {
    isDue = false;
    flows.update(schemas.list(), levels.list());
  };
  // A burst of changes is one update.
  const changed = (): void => {
    if (isDue) return;
    isDue = true;
    queueMicrotask(update);
  };
  schemas.subscribe(changed);
  levels.subscribe(changed);
  update();
}

/** Until the signal aborts: each change of a schema or a level may make a reference good or bad. */
export async function followConditions(client: Client, informers: InformerFactory, c: Ctx): Promise<void> {
  const changes = new Queue<string>({ capacity: 1, coalesceByKey: (key) => key });
  const changed = (): void => void changes.push('changed');
  using _schemas = informers.informer(Kinds.flowschemas).subscribe(changed);
  using _levels = informers.informer(Kinds.prioritylevelconfigurations).subscribe(changed);
  const onAbort = (): void => changes.end();
  c.signal.addEventListener('abort', onAbort, { once: true });
  try {
    for await (const _ of changes) await keepOnce(client, changed, c);
  } finally {
    c.signal.removeEventListener('abort', onAbort);
  }
}

async function keepOnce(client: Client, again: () => void, c: Ctx): Promise<void> {
  try {
    await keepConditions(client, c);
  } catch (e) {
    if (c.signal.aborted) return;
    c.log.warn({ err: messageOf(e) }, 'the conditions of flow schemas could not be written; tried again');
    c.clock.after(RETRY_MS, again, { unref: true });
  }
}
