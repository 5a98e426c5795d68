/**
 * What `--cache-from` names: images with steps in their config (travelling.ts), at a registry or on this node. A cache that is not
 * there, or that turns out to be wrong, is told as a warning and costs the steps it would have saved, nothing more. Whoever may
 * push to a reference decides what its steps are, as with FROM.
 */
import { type Ctx, type Digest, messageOf, StatusError } from '#lib/base';
import { chainIds, type Descriptor, parseJsonObject, parseReference } from '#lib/oci';
import type { BuildSession, BuiltLayer } from '../../images/build-store.ts';
import type { PullOptions } from '../../images/images.ts';
import { type RegistryAccess, resolveImage, sourcesOf } from '../../images/registries/remote.ts';
import type { Sources } from '../../images/registries/sources.ts';
import { readSteps, type TravellingStep } from './travelling.ts';

export interface ImportedLayer {
  readonly layer: BuiltLayer;
  readonly builtMs: number;
}

/** The part of a build session that this needs. */
export type LayerReceiver = Pick<BuildSession, 'image' | 'isHere' | 'fetchLayer'>;

export interface ImportOptions {
  /** As users write them, in the order in which they are asked. */
  readonly references: readonly string[];
  readonly registries: RegistryAccess;
  readonly session: LayerReceiver;
  readonly pulls: PullOptions;
  readonly warn: (message: string) => void;
}

interface Cache {
  readonly reference: string;
  readonly steps: ReadonlyMap<Digest, TravellingStep>;
  readonly blobs: ReadonlyMap<Digest, Descriptor>;
  /** Undefined: its layers are on this node. */
  readonly from: Sources | undefined;
  readonly layers: ReadonlyMap<Digest, BuiltLayer>;
}

export class ImportedCaches {
  readonly #o: ImportOptions;
  #caches: readonly Cache[];

  private constructor(o: ImportOptions, caches: readonly Cache[]) {
    this.#o = o;
    this.#caches = caches;
  }

  static async open(o: ImportOptions, c: Ctx): Promise<ImportedCaches> {
    const read = async (reference: string): Promise<readonly Cache[]> => {
      try {
        const cache = o.session.isHere(reference) ? await ofNode(reference, o, c) : await ofRegistry(reference, o, c);
        if (cache.steps.size === 0) o.warn(`cache ${reference}: it carries no steps of builds`);
        return [cache];
      } catch (e) {
        c.signal.throwIfAborted();
        o.warn(`cache ${reference}: ${messageOf(e)}`);
        return [];
      }
    };
    return new ImportedCaches(o, (await Promise.all(o.references.map(read))).flat());
  }

  /** The layer of the step with this key over `below`, brought here; undefined: no cache has it. */
  async take(key: Digest, below: readonly BuiltLayer[], c: Ctx): Promise<ImportedLayer | undefined> {
    for (const cache of this.#caches) {
      const step = cache.steps.get(key);
      if (step === undefined) continue;
      try {
        const layer = await this.#layer(cache, step, below, c);
        if (layer !== undefined) return { layer, builtMs: step.builtMs };
      } catch (e) {
        c.signal.throwIfAborted();
        this.#caches = this.#caches.filter((x) => x !== cache);
        this.#o.warn(`cache ${cache.reference}: ${messageOf(e)}; it is not asked again`);
      }
    }
    return undefined;
  }

  async #layer(
    cache: Cache,
    step: TravellingStep,
    below: readonly BuiltLayer[],
    c: Ctx,
  ): Promise<BuiltLayer | undefined> {
    if (cache.from === undefined)
      return cache.layers.get(chainIds([...below.map((l) => l.diffId), step.diffId]).at(-1) ?? step.diffId);
    const blob = cache.blobs.get(step.diffId);
    if (blob === undefined)
      throw new StatusError('Invalid', `the step ${step.key} names the layer ${step.diffId}, which is not in it`);
    return this.#o.session.fetchLayer(below, { ...step, blob, from: cache.from }, c);
  }
}

async function ofRegistry(reference: string, o: ImportOptions, c: Ctx): Promise<Cache> {
  const ref = parseReference(reference);
  const { sources } = await sourcesOf(o.registries, ref, o.pulls);
  const { manifest, config, documents } = await resolveImage(sources, ref, c);
  const steps = stepsIn(documents.at(-1)?.bytes);
  const blobs = new Map(
    config.diffIds.flatMap((id, i) => {
      const blob = manifest.layers[i];
      return blob === undefined ? [] : [[id, blob] as const];
    }),
  );
  return { reference, steps, blobs, from: sources, layers: new Map() };
}

async function ofNode(reference: string, o: ImportOptions, c: Ctx): Promise<Cache> {
  const { config, layers } = await o.session.image(reference, { ...o.pulls, pull: false }, c);
  const here = new Map(layers.map((l) => [l.chainId, l]));
  return { reference, steps: stepsIn(config), blobs: new Map(), from: undefined, layers: here };
}

function stepsIn(config: Buffer | undefined): ReadonlyMap<Digest, TravellingStep> {
  const steps = config === undefined ? undefined : readSteps(parseJsonObject(config, 'image config'));
  return new Map((steps ?? []).map((s) => [s.key, s]));
}
