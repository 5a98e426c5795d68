/**
 * What was read lately, kept by key up to a total size, least recently used out first. A reading that is under way is shared. Who
 * changes what a key stands for forgets the key before and after the change: then no reading from before it is kept.
 */
export interface RecentOptions<T> {
  readonly sizeMax: number;
  /** In the same unit. */
  readonly sizeOf: (value: T) => number;
}

interface Entry<T> {
  readonly value: Promise<T | undefined>;
  size: number;
}

export class Recent<T> {
  readonly #o: RecentOptions<T>;
  readonly #entries = new Map<string, Entry<T>>();
  #size = 0;

  constructor(o: RecentOptions<T>) {
    this.#o = o;
  }

  /** undefined and failures are not kept. */
  async read(key: string, read: () => Promise<T | undefined>): Promise<T | undefined> {
    const known = this.#entries.get(key);
    if (known !== undefined) {
      this.#entries.delete(key);
      this.#entries.set(key, known);
      return await known.value;
    }
    const entry: Entry<T> = { value: read(), size: 0 };
    this.#entries.set(key, entry);
    let value: T | undefined;
    try {
      value = await entry.value;
    } finally {
      if (this.#entries.get(key) === entry) this.#settle(key, entry, value);
    }
    return value;
  }

  forget(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#size -= entry.size;
  }

  #settle(key: string, entry: Entry<T>, value: T | undefined): void {
    if (value === undefined) {
      this.forget(key);
      return;
    }
    entry.size = this.#o.sizeOf(value);
    this.#size += entry.size;
    for (const [oldest] of this.#entries) {
      if (this.#size <= this.#o.sizeMax) return;
      this.forget(oldest);
    }
  }
}
