/** An SSH agent in this process, of keys that were read from files. */
import { AGENT, type SshAgent } from './agent.ts';
import { Fields, type SshKey, string } from './keys.ts';

export class KeyAgent implements SshAgent {
  readonly #keys: readonly SshKey[];

  constructor(keys: readonly SshKey[]) {
    this.#keys = keys;
  }

  async ask(request: Buffer): Promise<Buffer> {
    if (request[0] === AGENT.listKeys) return this.#list();
    if (request[0] !== AGENT.sign) return Buffer.of(AGENT.failure);
    const f = new Fields(request.subarray(1));
    const [blob, data, flags] = [f.string(), f.string(), f.number()];
    const signature = this.#keys.find((k) => k.blob.equals(blob))?.sign(data, flags);
    return signature === undefined
      ? Buffer.of(AGENT.failure)
      : Buffer.concat([Buffer.of(AGENT.signature), string(signature)]);
  }

  #list(): Buffer {
    const count = Buffer.alloc(4);
    count.writeUInt32BE(this.#keys.length);
    const keys = this.#keys.flatMap((k) => [string(k.blob), string('berth build')]);
    return Buffer.concat([Buffer.of(AGENT.keys), count, ...keys]);
  }
}
