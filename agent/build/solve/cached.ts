/** A layer by its key: from the cache, from an equal step that is being made, or made now. */
import type { Ctx, Digest } from '#lib/base';
import type { MakeLayer, StepResult } from './options.ts';
import type { StageView } from './stage.ts';

/** Nothing is remembered of a step that failed or was cancelled. */
export async function cachedLayer(
  o: { readonly key: Digest; readonly title: string; readonly make: (c: Ctx) => ReturnType<MakeLayer> },
  view: StageView,
  c: Ctx,
): Promise<StepResult> {
  const { cache, worker, flights, clock, isUncached, latestMs } = view.build.options;
  const uncached = isUncached(view.planned.title);
  if (!uncached) {
    const found = await cache.find(o.key);
    if (found !== undefined && (await worker.hasLayer(found))) {
      const { diffId, chainId, bytes, createdMs } = found;
      return { layer: { diffId, chainId, bytes }, createdMs: latestMs ?? createdMs, outcome: 'cached' };
    }
    if (found !== undefined) await cache.forget(o.key);
  }
  const make = async (own: Ctx): ReturnType<MakeLayer> => {
    const layer = await o.make(own);
    await cache.put({ key: o.key, title: o.title, ...layer });
    return layer;
  };
  const layer = uncached ? await make(c) : (await flights.run(o.key, make, c)).value;
  const made = await cache.find(o.key);
  return { layer, createdMs: latestMs ?? made?.createdMs ?? clock.now(), outcome: 'done' };
}
