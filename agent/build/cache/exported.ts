/** `--cache-to`: the steps of a build, in the image's own config, or with their layers as an image at a registry (travelling.ts). */
import { type Ctx, type Digest, parseDigest, sha256 } from '#lib/base';
import { type Descriptor, descriptorJson, MEDIA_TYPES, type Platform, parseReference } from '#lib/oci';
import type { BuildSession } from '../../images/build-store.ts';
import type { PullOptions } from '../../images/images.ts';
import type { RegistryAccess } from '../../images/registries/remote.ts';
import { type FinishedLayer, finishedLayer } from '../node/finish.ts';
import { type PushOptions, pushLayers } from '../output/push.ts';
import type { Solved, SolveOptions } from '../solve/options.ts';
import { CACHE_ARTIFACT_TYPE, type CacheExport, cacheConfig, stepsThatFit, type TravellingStep } from './travelling.ts';

export type BuiltStep = Parameters<SolveOptions['onLayer']>[0];

export interface ExportPlace {
  readonly registries: RegistryAccess;
  readonly session: BuildSession;
  readonly pulls: PullOptions;
  readonly platform: Platform;
  /** Of what pushes remember. */
  readonly folder: string;
  readonly warn: (message: string) => void;
}

/** Of one build. */
export class CacheExports {
  readonly #wanted: readonly CacheExport[];
  /** Each once, in the order in which they were made. */
  readonly #all: readonly BuiltStep[];
  readonly #ofImage: readonly BuiltStep[];

  constructor(wanted: readonly CacheExport[], steps: readonly BuiltStep[], solved: Solved) {
    this.#wanted = wanted;
    this.#all = [...new Map(steps.map((s) => [s.key, s])).values()];
    const chain = new Set(solved.layers.map((l) => l.chainId));
    this.#ofImage = this.#all.filter((s) => chain.has(s.layer.chainId));
  }

  /** What goes into the image's config; none unless it was asked for. */
  get inline(): readonly TravellingStep[] {
    return this.#wanted.some((w) => w.type === 'inline') ? this.#ofImage : [];
  }

  /** Throws what a push throws: who asked for a cache is told that there is none. */
  async push(at: ExportPlace, c: Ctx): Promise<void> {
    for (const w of this.#wanted) {
      if (w.type === 'inline') continue;
      const all = w.mode === 'max' ? this.#all : this.#ofImage;
      const steps = stepsThatFit(all);
      if (steps.length < all.length)
        at.warn(`cache ${w.reference}: ${all.length - steps.length} steps have no room in one manifest`);
      const kept = new Set(steps.map((s) => s.key));
      const layers = all.filter((s) => kept.has(s.key)).map((s) => finishedLayer(at.session, s.layer));
      const unique = [...new Map(layers.map((l) => [l.diffId, l])).values()];
      await pushCache({ steps, layers: unique, platform: at.platform }, await placeOf(w.reference, at), c);
    }
  }
}

async function placeOf(reference: string, at: ExportPlace): Promise<PushOptions & { readonly tag: string }> {
  const { host, repository, tag = 'latest' } = parseReference(reference);
  const { client, hosts } = at.registries;
  const credentials = at.pulls.credentials?.(host, repository);
  const to = client.repository(host, repository, { credentials, at: (await hosts.hostsOf(host)).at(-1) });
  return { to, tag, folder: at.folder };
}

/** `layers`: those of `steps`, each once, in the order in which they were made. Gives the manifest's digest. */
export async function pushCache(
  o: {
    readonly steps: readonly TravellingStep[];
    readonly layers: readonly FinishedLayer[];
    readonly platform: Platform;
  },
  to: PushOptions & { readonly tag: string },
  c: Ctx,
): Promise<Digest> {
  const blobs = await pushLayers(o.layers, { isAsItCame: false }, to, c);
  const diffIds = o.layers.map((l) => l.diffId);
  const config = cacheConfig(o.steps, diffIds, o.platform);
  const described: Descriptor = { mediaType: MEDIA_TYPES.ociConfig, digest: sha256(config), sizeBytes: config.length };
  await to.to.pushBlob(described, config, {}, c);
  const manifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    artifactType: CACHE_ARTIFACT_TYPE,
    config: descriptorJson(described),
    layers: o.layers.map((l) => descriptorJson(blobs.get(l) ?? l.blob)),
  };
  const bytes = Buffer.from(JSON.stringify(manifest));
  return parseDigest(await to.to.putManifest(to.tag, MEDIA_TYPES.ociManifest, bytes, c));
}
