/** What a build tells while it goes on: for the Engine's stream and for `berth build`. */
import type { Digest } from '#lib/base';

export interface StepId {
  /** Title of the stage: its name or number. */
  readonly stage: string;
  /** From 1, in its stage. */
  readonly number: number;
  readonly total: number;
}

export type BuildEvent =
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

export type OnEvent = (e: BuildEvent) => void;
