/** Who asks a DNS server, by address, for the bounds of one. */
import type { Asker } from './answerer.ts';

interface Client extends Asker {
  connections: number;
  uses: number;
}

/** Addresses are kept while they have questions or connections. */
export class Clients {
  readonly #byAddress = new Map<string, Client>();

  get size(): number {
    return this.#byAddress.size;
  }

  enter(address: string): Client {
    const client = this.#byAddress.get(address) ?? { outside: 0, connections: 0, uses: 0 };
    this.#byAddress.set(address, client);
    client.uses++;
    return client;
  }

  leave(address: string, client: Client): void {
    client.uses--;
    if (client.uses === 0) this.#byAddress.delete(address);
  }
}
