/** Finds the end of the first JSON object of a stream of bytes, without reading its values. */

const QUOTE = 0x22;
const ESCAPE = 0x5c;
const OPENING: ReadonlySet<number> = new Set([0x7b, 0x5b]);
const CLOSING: ReadonlySet<number> = new Set([0x7d, 0x5d]);

export class JsonScan {
  #depth = 0;
  #isText = false;
  #isEscaped = false;

  /** Index behind the byte that closes the object; undefined = it goes on. Not to be fed after that. */
  feed(piece: Uint8Array): number | undefined {
    for (const [i, byte] of piece.entries()) {
      if (this.#isText) this.#text(byte);
      else if (byte === QUOTE) this.#isText = true;
      else if (OPENING.has(byte)) this.#depth++;
      else if (CLOSING.has(byte) && --this.#depth <= 0) return i + 1;
    }
    return undefined;
  }

  #text(byte: number): void {
    if (this.#isEscaped) this.#isEscaped = false;
    else if (byte === ESCAPE) this.#isEscaped = true;
    else if (byte === QUOTE) this.#isText = false;
  }
}
