/** Events of images. Source: moby daemon/images/image_events.go; docs.docker.com/reference/cli/docker/system/events. */
import type { EngineEvents } from '../parts.ts';
import type { ImageLibrary, LibraryImage } from './library.ts';

export class ImageEvents {
  readonly #events: EngineEvents;
  readonly #library: ImageLibrary;

  constructor(events: EngineEvents, library: ImageLibrary) {
    this.#events = events;
    this.#library = library;
  }

  /** With the image's labels as attributes; `name` is the id where no name was said. */
  async emit(
    action: 'create' | 'delete' | 'import' | 'load' | 'pull' | 'push' | 'save' | 'tag' | 'untag',
    image: LibraryImage,
    o: { readonly id?: string; readonly name?: string } = {},
  ): Promise<void> {
    const labels = await this.#labels(image);
    const attributes = { ...labels, name: o.name ?? image.id };
    this.#events.emit({ type: 'image', action, id: o.id ?? image.id, attributes });
  }

  pruned(reclaimedBytes: number): void {
    this.#events.emit({ type: 'image', action: 'prune', id: '', attributes: { reclaimed: `${reclaimedBytes}` } });
  }

  /** None when the image is gone meanwhile. */
  async #labels(image: LibraryImage): Promise<Readonly<Record<string, string>>> {
    try {
      return (await this.#library.document(image)).document.config.Labels ?? {};
    } catch {
      return {}; // The event is told in any case.
    }
  }
}
