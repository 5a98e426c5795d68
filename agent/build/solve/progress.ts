/** What a build tells while it goes on: for the Engine's stream and for `berth build`. */
import type { Digest } from '#lib/base';

export interface StepId {
  /** Of the file. */
  readonly stageIndex: number;
  /** Title of the stage: its name or number. */
  readonly stage: string;
  /** From 1, in its stage. */
  readonly number: number;
  readonly total: number;
}

export type BuildEvent =
  /** First of all. */
  | {
      readonly kind: 'planned';
      /** ARGs before the first FROM, as they are written. */
      readonly globalArgs: readonly string[];
      /** In the order of the file; the last one of these is the target. */
      readonly stages: readonly PlannedSteps[];
      /** Names of all ARGs. */
      readonly args: readonly string[];
    }
  /** Its base is there; `base`: an image's id, or the chain id of a stage; '' = scratch. `triggers`: ONBUILD's. */
  | {
      readonly kind: 'stage-begins';
      readonly stageIndex: number;
      readonly base: string;
      readonly triggers: number;
    }
  | { readonly kind: 'stage-ends'; readonly stageIndex: number }
  /** A RUN has a container. */
  | { readonly kind: 'container'; readonly step: StepId; readonly id: string }
  | { readonly kind: 'step-begins'; readonly step: StepId; readonly title: string }
  | { readonly kind: 'output'; readonly step: StepId; readonly data: Buffer }
  | {
      readonly kind: 'step-ends';
      readonly step: StepId;
      readonly outcome: 'cached' | 'done' | 'failed';
      readonly durationMs: number;
      /** Of the root after it. */
      readonly chainId: Digest | undefined;
    }
  | { readonly kind: 'warning'; readonly message: string; readonly line: number | undefined };

/** A stage that the target needs. */
export interface PlannedSteps {
  readonly index: number;
  readonly from: string;
  /** Instructions after FROM. */
  readonly steps: number;
}

/** Of `output` alone what is given back is waited for. */
export type OnEvent = (e: BuildEvent) => void | Promise<void>;
