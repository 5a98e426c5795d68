/** A layer's blob as the tar that it holds, for who unpacks it in this process. */
import { createReadStream } from 'node:fs';
import { createGunzip } from 'node:zlib';
import { StatusError } from '#lib/base';
import { MEDIA_TYPES } from '#lib/oci';

/** The bytes of a layer's tar, plain or gzipped; Invalid beyond `bytesMax`. */
export async function* tarOfBlob(
  path: string,
  mediaType: string,
  bytesMax: number,
): AsyncGenerator<Buffer, void, void> {
  const file = createReadStream(path);
  const isPlain = mediaType === MEDIA_TYPES.ociLayer;
  const gunzip = isPlain ? undefined : createGunzip();
  file.on('error', (e) => gunzip?.destroy(e));
  let bytes = 0;
  try {
    for await (const piece of (gunzip === undefined ? file : file.pipe(gunzip)) as AsyncIterable<Buffer>) {
      bytes += piece.length;
      if (bytes > bytesMax)
        throw new StatusError('Invalid', `the layer at ${path} has more than the ${bytesMax} bytes told`);
      yield piece;
    }
  } finally {
    file.destroy();
    gunzip?.destroy();
  }
}
