/**
 * `GET /distribution/{name}/json`: what a registry has under a name, without pulling it.
 * Source: moby daemon/server/router/distribution/distribution_routes.go.
 */
import type { Ctx } from '#lib/base';
import { CONFIG_BYTES_MAX, manifestReference, type Platform, parseConfig, parseManifest } from '#lib/oci';
import type { RegistryCredentials } from '../../images/images.ts';
import type { OpenImages } from '../../images/open.ts';
import { sourcesOf } from '../../images/registries/remote.ts';
import { EngineError } from '../http/contract.ts';
import { referenceOf } from './names.ts';
import { pullError } from './transfer/pull.ts';

export async function inspectDistribution(
  images: OpenImages,
  o: { readonly name: string; readonly credentials: RegistryCredentials | undefined },
  c: Ctx,
): Promise<object> {
  if (/^(sha256:)?[0-9a-f]{64}$/.test(o.name)) throw new EngineError(500, 'no manifest found for full image ID');
  const reference = referenceOf(o.name);
  try {
    const { sources } = await sourcesOf(images.registries, reference, { credentials: () => o.credentials });
    const got = await sources.first('resolve', (r) => r.getManifest(manifestReference(reference), c), c);
    const document = parseManifest(got.bytes, got.mediaType);
    const platforms =
      document.type === 'index'
        ? document.manifests.flatMap((m) => (m.platform ? [m.platform] : []))
        : await sources
            .first('pull', (r) => r.getBlob(document.config, CONFIG_BYTES_MAX, c), c)
            .then((bytes) => [parseConfig(bytes).platform]);
    return {
      Descriptor: { mediaType: got.mediaType, digest: got.digest, size: got.bytes.length },
      Platforms: platforms.filter((p) => p.os !== '' || p.architecture !== '').map(platformAnswer),
    };
  } catch (e) {
    throw pullError(e, reference);
  }
}

function platformAnswer(p: Platform): object {
  return { architecture: p.architecture, os: p.os, ...(p.variant === undefined ? {} : { variant: p.variant }) };
}
