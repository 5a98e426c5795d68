/**
 * Runs one thing at a time for many who ask: a request resolves when a run that began after it has ended well. However
 * many ask meanwhile, at most one more run follows.
 */
export class Coalesced {
  readonly #run: () => Promise<void>;
  #asked = 0;
  #done = 0;
  #running: Promise<void> | undefined;

  constructor(run: () => Promise<void>) {
    this.#run = run;
  }

  async request(): Promise<void> {
    const target = ++this.#asked;
    while (this.#done < target) {
      if (this.#running !== undefined) {
        // It may have begun before this request; if it fails, whoever started it is told.
        await this.#running.catch(() => undefined);
        continue;
      }
      const upTo = this.#asked;
      this.#running = this.#run()
        .then(() => {
          this.#done = upTo;
        })
        .finally(() => {
          this.#running = undefined;
        });
      await this.#running;
    }
  }
}
