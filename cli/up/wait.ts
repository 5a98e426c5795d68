/** Waiting for a cluster to reach a state, by asking every 50 ms; a time limit ends it with a sentence that says what is missing. */
import { Kinds, type ObjectKey } from '#lib/api';
import { type Ctx, messageOf, StatusError } from '#lib/base';
import type { Client } from '#lib/client';

const INTERVAL_MS = 50;

/** Errors of `check` count as "not yet"; the last one is told when time runs out. */
export async function waitUntil(
  limitMs: number,
  check: () => Promise<boolean>,
  missing: () => string,
  c: Ctx,
): Promise<void> {
  const end = c.clock.monotonic() + limitMs;
  let last = '';
  for (;;) {
    try {
      if (await check()) return;
      last = '';
    } catch (e) {
      last = ` (${messageOf(e)})`;
    }
    if (c.clock.monotonic() >= end) throw new StatusError('DeadlineExceeded', `${missing()}${last}`);
    await c.clock.sleep(INTERVAL_MS, c.signal);
  }
}

export async function readyNodes(client: Client, c: Ctx): Promise<number> {
  const { items } = await client.list(Kinds.nodes, {}, c);
  return items.filter((n) => n.status?.conditions?.some((x) => x.type === 'Ready' && x.status === 'True')).length;
}

export async function waitForRollout(client: Client, key: ObjectKey, limitMs: number, c: Ctx): Promise<void> {
  let told = '';
  const done = async (): Promise<boolean> => {
    const d = await client.get(Kinds.deployments, key, c);
    const wanted = d.spec.replicas ?? 1;
    const s = d.status;
    told = `${s?.availableReplicas ?? 0} of ${wanted} replicas are available`;
    return (
      (s?.observedGeneration ?? 0) >= (d.metadata.generation ?? 0) &&
      s?.updatedReplicas === wanted &&
      s?.availableReplicas === wanted &&
      s?.replicas === wanted
    );
  };
  await waitUntil(
    limitMs,
    done,
    () => `deployment ${key.namespace}/${key.name}: ${told}; 'kubectl -n ${key.namespace} describe pods' tells why`,
    c,
  );
}

export async function fetchPage(url: string, limitMs: number, c: Ctx): Promise<string> {
  let page = '';
  await waitUntil(
    limitMs,
    async () => {
      const answer = await fetch(url, { signal: AbortSignal.timeout(2000) });
      page = await answer.text();
      return answer.ok;
    },
    () => `${url} does not answer`,
    c,
  );
  return page;
}
