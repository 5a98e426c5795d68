/**
 * Keeps the collector away from what is being used at this moment. A pull or a mount pins the keys (digests) it is about to
 * look at; the collector removes a key only when nothing pins it, and who pins a key that is just being removed waits until
 * it is gone, then finds it missing and makes it anew.
 */
export class Pins {
  readonly #counts = new Map<string, number>();
  readonly #removing = new Map<string, Promise<unknown>>();

  /** Resolves when none of `keys` is being removed. Dispose to let go. */
  async pin(keys: readonly string[]): Promise<Disposable> {
    for (const key of keys) this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    for (const key of keys) await this.#removing.get(key)?.catch(() => undefined); // the collector tells of its failure
    let released = false;
    return {
      [Symbol.dispose]: () => {
        if (released) return;
        released = true;
        for (const key of keys) this.#release(key);
      },
    };
  }

  /**
   * False when the key is pinned. Else runs `remove`, which must look again whether the key is needed (its last user may
   * have recorded that just before letting go of the pin) and say whether it removed it.
   */
  async removeUnlessPinned(key: string, remove: () => Promise<boolean>): Promise<boolean> {
    if (this.#counts.has(key) || this.#removing.has(key)) return false;
    const removing = remove();
    this.#removing.set(key, removing);
    try {
      return await removing;
    } finally {
      this.#removing.delete(key);
    }
  }

  #release(key: string): void {
    const left = (this.#counts.get(key) ?? 0) - 1;
    if (left > 0) this.#counts.set(key, left);
    else this.#counts.delete(key);
  }
}
