/** The bus within one process: for tests, the simulator and a server started without NATS. Delivers asynchronously, as NATS does. */
import type { Bus, BusMessage } from './bus.ts';
import { subjectMatches } from './subjects.ts';

export class MemoryBus implements Bus {
  readonly #subscriptions = new Set<{ pattern: string; fn: (m: BusMessage) => void }>();
  #open = true;

  get healthy(): boolean {
    return this.#open;
  }

  publish(subject: string, data: Uint8Array | string): void {
    if (!this.#open) return;
    const message: BusMessage = { subject, data: typeof data === 'string' ? Buffer.from(data) : data };
    queueMicrotask(() => {
      for (const s of [...this.#subscriptions])
        if (this.#subscriptions.has(s) && subjectMatches(s.pattern, subject)) s.fn(message);
    });
  }

  subscribe(subject: string, fn: (m: BusMessage) => void): Disposable {
    const subscription = { pattern: subject, fn };
    this.#subscriptions.add(subscription);
    return { [Symbol.dispose]: () => void this.#subscriptions.delete(subscription) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#open = false;
    this.#subscriptions.clear();
  }
}
