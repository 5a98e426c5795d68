/** The manifest of an image that was built here. Pure. */
import { sha256 } from '#lib/base';
import { type Descriptor, descriptorJson, MEDIA_TYPES } from '#lib/oci';

/** Its keys in a fixed order: the same image has the same bytes. */
export function manifestOf(config: Uint8Array, layers: readonly Descriptor[]): Buffer {
  const { ociConfig, ociManifest } = MEDIA_TYPES;
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: ociManifest,
      config: descriptorJson({ mediaType: ociConfig, digest: sha256(config), sizeBytes: config.length }),
      layers: layers.map((l) => descriptorJson({ ...l, mediaType: ociLayerType(l.mediaType) })),
    }),
  );
}

/** One manifest is of one family: a base of Docker's types is told in OCI's. */
function ociLayerType(mediaType: string): string {
  return mediaType === MEDIA_TYPES.dockerLayerGzip ? MEDIA_TYPES.ociLayerGzip : mediaType;
}
