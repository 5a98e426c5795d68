/**
 * The engine's images: those of the node, which pods use too. What people pull, build, load or import stays until people remove
 * it (agent/images/records.ts).
 */
import { join } from 'node:path';
import type { Ctx, Digest } from '#lib/base';
import { tidyPushedLayers } from '../../build/output/pushed-layers.ts';
import type { EngineEvents, EngineHost, EngineImage, EngineImages, EnginePart } from '../parts.ts';
import { ImageEvents } from './events.ts';
import { ImageLibrary } from './library.ts';
import { ImageRemover, type ImageUser } from './remove.ts';
import { imageRoutes } from './routes.ts';

export interface ImagePorts {
  readonly events: EngineEvents;
  /** The engine's containers, whatever they do. */
  readonly users: () => readonly ImageUser[];
}

export interface OpenEngineImages extends EngineImages, EnginePart {
  /** Of build and commit: an image that they have put under these names, or none. */
  readonly events: ImageEvents;
}

export async function openEngineImages(host: EngineHost, ports: ImagePorts, c: Ctx): Promise<OpenEngineImages> {
  c.signal.throwIfAborted();
  const { images, kernel, random, clock } = host;
  const { catalog } = images;
  const library = new ImageLibrary(catalog);
  const events = new ImageEvents(ports.events, library);
  const remover = new ImageRemover({ catalog, library, events, users: ports.users });
  const folder = join(host.folder, 'images');
  await tidyPushedLayers(join(folder, 'pushed'));
  const routes = imageRoutes({ images, kernel, random, clock, folder, library, events, remover, users: ports.users });
  return {
    routes,
    events,
    find: async (text: string, own: Ctx): Promise<EngineImage> => {
      const found = library.find(text);
      return await library.engineImage(found, found.record, own);
    },
    byId: async (id: Digest, own: Ctx): Promise<EngineImage | undefined> => {
      const image = library.byId(id);
      const [record] = image?.records ?? [];
      return image && record && (await library.engineImage(image, record, own));
    },
  };
}
