/** A layer by its key: from the cache, from a cache from elsewhere, from an equal step that is being made, or made now. */
import type { Ctx, Digest } from '#lib/base';
import type { MakeLayer, StepResult } from './options.ts';
import type { StageView } from './stage.ts';

/** Nothing is remembered of a step that failed or was cancelled. */
export async function cachedLayer(
  o: { readonly key: Digest; readonly title: string; readonly make: (c: Ctx) => ReturnType<MakeLayer> },
  view: StageView,
  c: Ctx,
): Promise<StepResult> {
  const { latestMs, onLayer } = view.build.options;
  const { layer, builtMs, outcome } = await found(o, view, c);
  onLayer({ key: o.key, diffId: layer.diffId, bytes: layer.bytes, builtMs, title: o.title, layer });
  return { layer, createdMs: latestMs ?? builtMs, outcome };
}

async function found(
  o: Parameters<typeof cachedLayer>[0],
  view: StageView,
  c: Ctx,
): Promise<Omit<StepResult, 'createdMs'> & { readonly builtMs: number }> {
  const { cache, worker, flights, clock, isUncached } = view.build.options;
  const uncached = isUncached(view.planned.title);
  if (!uncached) {
    const known = await cache.find(o.key);
    if (known !== undefined && (await worker.hasLayer(known))) {
      const { diffId, chainId, bytes, builtMs } = known;
      return { layer: { diffId, chainId, bytes }, builtMs, outcome: 'cached' };
    }
    if (known !== undefined) await cache.forget(o.key);
  }
  let outcome: StepResult['outcome'] = 'done';
  const make = async (own: Ctx): ReturnType<MakeLayer> => {
    const imported = uncached ? undefined : await worker.imported(o.key, view.layers, own);
    if (imported !== undefined) outcome = 'cached';
    const layer = imported?.layer ?? (await o.make(own));
    await cache.put({ key: o.key, title: o.title, ...layer, builtMs: imported?.builtMs });
    return layer;
  };
  const layer = uncached ? await make(c) : (await flights.run(o.key, make, c)).value;
  const made = await cache.find(o.key);
  return { layer, builtMs: made?.builtMs ?? clock.now(), outcome };
}
