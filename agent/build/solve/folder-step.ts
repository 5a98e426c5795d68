/** The folder of a WORKDIR, made by root where it is not there. */
import type { Ctx, Digest } from '#lib/base';
import { layerOf } from '../context/layer.ts';
import { clipped, plainEntry, resolveIn } from '../context/tree.ts';
import { cachedLayer } from './cached.ts';
import type { StepResult } from './options.ts';
import type { StageView } from './stage.ts';

/** Undefined: it is there, and no layer is needed. */
export async function folderLayer(path: string, key: Digest, view: StageView, c: Ctx): Promise<StepResult | undefined> {
  const { worker, latestMs } = view.build.options;
  if (clipped(path) === '') return undefined;
  await using root = await worker.root(view.layers, c);
  const real = await resolveIn(root.tree, clipped(path), { last: true }, c);
  if ((await root.tree.stat(real, c)) !== undefined) return undefined;
  const below = root.tree;
  return await cachedLayer(
    {
      key,
      title: `WORKDIR ${path}`,
      make: async (own) => {
        const selected = [{ source: '', landing: '', entry: plainEntry('folder', 0o755) }];
        const o = { below, destination: path, owner: { uid: 0, gid: 0 }, mode: undefined, latestMs };
        return worker.addLayer(view.layers, await layerOf([{ tree: below, selected }], o, own), own);
      },
    },
    view,
    c,
  );
}
