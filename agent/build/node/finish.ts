/** A solved target becomes an image of the node's store. */
import type { Ctx, Digest } from '#lib/base';
import { type Descriptor, formatReference, parseReference } from '#lib/oci';
import type { BuildSession, BuiltLayer } from '../../images/build-store.ts';
import { stepsField, type TravellingStep } from '../cache/travelling.ts';
import type { Solved } from '../solve/options.ts';
import { configDocument } from '../stage/config.ts';

export interface FinishedImage {
  readonly id: Digest;
  /** Normalised. */
  readonly references: readonly string[];
  readonly config: Buffer;
  /** Base first. */
  readonly layers: readonly FinishedLayer[];
  /** Of an image that came from elsewhere, as it came. */
  readonly manifest?: { readonly bytes: Buffer; readonly mediaType: string } | undefined;
}

export interface FinishedLayer {
  /** As it is stored. */
  readonly blob: Descriptor;
  readonly diffId: Digest;
  /** Where the blob lies. */
  readonly path: string;
}

export async function finish(
  session: BuildSession,
  solved: Solved,
  o: {
    readonly tags: readonly string[];
    readonly labels: Readonly<Record<string, string>>;
    readonly latestMs: number | undefined;
    /** For the config document. */
    readonly inline: readonly TravellingStep[];
  },
  c: Ctx,
): Promise<{ readonly image: FinishedImage; readonly syncedMs: number }> {
  const { layers, history, platform } = solved;
  const document = configDocument({
    config: { ...solved.config, labels: { ...solved.config.labels, ...o.labels } },
    ...{ platform, history },
    createdMs: o.latestMs ?? solved.createdMs,
    diffIds: layers.map((l) => l.diffId),
  });
  const config = Buffer.from(JSON.stringify({ ...document, ...(o.inline.length > 0 && stepsField(o.inline)) }));
  const references = o.tags.map((tag) => formatReference(parseReference(tag)));
  const { id, syncedMs } = await session.putImage({ references, config, layers }, c);
  return { image: { id, references, config, layers: layers.map((l) => finishedLayer(session, l)) }, syncedMs };
}

export function finishedLayer(session: BuildSession, l: BuiltLayer): FinishedLayer {
  const blob = session.blobOf(l);
  return { blob, diffId: l.diffId, path: session.blobPath(blob.digest) };
}
