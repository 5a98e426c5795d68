/** What one build is asked for, and what it gives. Types alone. */
import type { Clock } from '#lib/base';
import type { Platform } from '#lib/oci';
import type { SingleFlight } from '../../images/single-flight.ts';
import type { Slots } from '../../pods/slots.ts';
import type { BuildCache } from '../cache/cache.ts';
import type { TravellingStep } from '../cache/travelling.ts';
import type { SourceTree } from '../context/tree.ts';
import type { Dockerfile } from '../dockerfile/parse.ts';
import type { SshAgent } from '../ssh/agent.ts';
import type { BuildConfig, HistoryEntry } from '../stage/config.ts';
import type { BuildPlan } from '../stage/plan.ts';
import type { BuildArgs, GlobalScope } from '../stage/scope.ts';
import type { OnEvent } from './progress.ts';
import type { BuildWorker, Layer } from './worker.ts';

/** What all builds of a node share. */
export interface BuildHost {
  readonly worker: BuildWorker;
  readonly cache: BuildCache;
  /** Equal steps of builds that go on at the same time are made once. */
  readonly flights: SingleFlight<Layer>;
  /** RUNs at the same time. */
  readonly slots: Slots;
  readonly clock: Clock;
}

export interface SolveOptions extends BuildHost {
  readonly file: Dockerfile;
  readonly plan: BuildPlan;
  readonly globals: GlobalScope;
  readonly buildArgs: BuildArgs;
  /** What is built for, where a stage does not say it. */
  readonly platform: Platform;
  /** What programs run here. */
  readonly buildPlatform: Platform;
  /** Undefined: none was sent. */
  readonly context: SourceTree | undefined;
  /** `--no-cache`, of all stages or of some. */
  readonly isUncached: (stage: string) => boolean;
  /** Bases are looked for anew. */
  readonly pull: boolean;
  readonly secrets: ReadonlyMap<string, Uint8Array>;
  /** SSH agents by id. */
  readonly agents?: ReadonlyMap<string, SshAgent> | undefined;
  /** Of RUNs that do not say it. */
  readonly network: 'default' | 'none' | 'host';
  /** SOURCE_DATE_EPOCH. */
  readonly latestMs: number | undefined;
  readonly onEvent: OnEvent;
  /** Each layer that a step has, made now or found: what a cache for elsewhere is made of. */
  readonly onLayer: (step: TravellingStep & { readonly layer: Layer }) => void;
}

/** A stage after its last instruction. */
export interface Solved {
  readonly config: BuildConfig;
  /** Base first. */
  readonly layers: readonly Layer[];
  readonly history: readonly HistoryEntry[];
  readonly platform: Platform;
  /** Of its newest layer, else of its base: a build that found all in the cache makes the same image again. */
  readonly createdMs: number;
}

export interface StepResult {
  readonly layer: Layer;
  readonly createdMs: number;
  readonly outcome: 'cached' | 'done';
}

/** How a step is made when the cache has nothing. */
export type MakeLayer = () => Promise<Layer>;
