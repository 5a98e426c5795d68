/** The way to the API, which a test may cut: calls fail, watches say nothing until it is mended, then go on without loss. */
import type { KubeObject } from '#lib/api';
import { type Ctx, StatusError } from '#lib/base';
import type { Client, WatchEvent } from '#lib/client';

const POLL_MS = 50;

export class Way {
  isCut = false;

  guard(client: Client): Client {
    const through = async <T>(call: () => Promise<T>): Promise<T> => {
      if (this.isCut) throw new StatusError('Unavailable', 'the API is away');
      return call();
    };
    const guarded: Client = {
      get: (...a) => through(() => client.get(...a)),
      list: (...a) => through(() => client.list(...a)),
      create: (...a) => through(() => client.create(...a)),
      createSub: (...a) => through(() => client.createSub(...a)),
      update: (...a) => through(() => client.update(...a)),
      patch: (...a) => through(() => client.patch(...a)),
      delete: (...a) => through(() => client.delete(...a)),
      watch: (kind, q, c) => this.#held(client.watch(kind, q, c), c),
    };
    return guarded;
  }

  async *#held<T extends KubeObject>(events: AsyncIterable<WatchEvent<T>>, c: Ctx): AsyncIterable<WatchEvent<T>> {
    for await (const e of events) {
      while (this.isCut) await c.clock.sleep(POLL_MS, c.signal);
      yield e;
    }
  }
}
