/**
 * Hints between processes: what merely happened (design.md 0.2). At most once, in no promised order across publishers,
 * lost when NATS is away; nothing that must be true may depend on it. Neither method ever throws because NATS is away.
 */
export interface BusMessage {
  readonly subject: string;
  readonly data: Uint8Array;
}

export interface Bus extends AsyncDisposable {
  /** Whether a message published now would leave this process. */
  readonly healthy: boolean;
  /** Dropped when the bus is away and its buffer is full. */
  publish(subject: string, data: Uint8Array | string): void;
  /** `subject` may hold the NATS wildcards `*` and `>`. Survives reconnects. */
  subscribe(subject: string, fn: (m: BusMessage) => void): Disposable;
}
