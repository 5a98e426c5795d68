/** What a container's life needs of the rest. */
import type { Ctx } from '#lib/base';
import type { Freezer } from '../../../kernel/kernel.ts';
import type { ContainerId, Runtime, StartContainer } from '../../../runtime/runtime.ts';
import type { ContainerRecord } from '../../parts.ts';
import type { Running } from './state.ts';

/** record.json: what is known of a container besides what the runtime keeps of its last run. */
export interface StoredContainer {
  readonly record: ContainerRecord;
  /** A user has started it at least once. */
  readonly hasRun: boolean;
  /** Its removal has begun, and is gone on with by whoever finds this. */
  readonly removal?: { readonly volumes: boolean } | undefined;
}

export interface ContainerStore {
  /** `durable`: it outlives a power loss, not this process alone. */
  save(s: StoredContainer, o: { readonly durable: boolean }): Promise<void>;
  /** Resolves when what was saved last would outlive a power loss. */
  sync(id: ContainerId): Promise<void>;
}

/** What is made for a start and taken away after it; each may be repeated after a crash. */
export interface LifeSteps {
  prepare(record: ContainerRecord, c: Ctx): Promise<StartContainer>;
  /** Of one that an earlier agent started and that still runs. */
  adopt(record: ContainerRecord, c: Ctx): Promise<void>;
  /** Undoes `prepare`; gone is fine. */
  release(record: ContainerRecord, c: Ctx): Promise<void>;
  /** All that a container has on this host, its record last. */
  discard(record: ContainerRecord, o: { readonly volumes: boolean }, c: Ctx): Promise<void>;
}

export interface HealthWatch {
  begin(record: ContainerRecord, run: Running): void;
  /** It is not asked while it is paused. */
  hold(id: ContainerId): void;
  end(id: ContainerId): void;
}

export interface LifeHost {
  readonly runtime: Pick<Runtime, 'start' | 'kill' | 'remove'>;
  readonly steps: LifeSteps;
  readonly store: ContainerStore;
  readonly freezer: Freezer;
  readonly health: HealthWatch;
  /** Of the whole engine: what a client asked for goes on when it hangs up. */
  readonly c: Ctx;
  /** Takes away what the runtime has of its last run; returns at once. */
  forget(id: ContainerId): void;
  cgroupOf(record: ContainerRecord): string;
  emit(record: ContainerRecord, action: string, attributes?: Readonly<Record<string, string>>): void;
  /** Nothing is left of it. */
  gone(id: ContainerId): void;
}
