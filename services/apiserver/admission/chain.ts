/**
 * Admission: every plugin may change the draft (`admit`, in order), then every plugin may refuse it (`validate`, in order).
 * Source: kubernetes pkg/kubeapiserver/options/plugins.go for the order.
 */
import type { DeepReadonly, KindInfo, KubeObject } from '#lib/api';
import { type Ctx, toStatusError } from '#lib/base';
import type { DeleteOptions, UserInfo, WriteOptions } from '#lib/client';

export type Operation = 'CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT';

export interface AdmissionRequest {
  readonly operation: Operation;
  readonly kind: KindInfo;
  /** As asked for, where that version is not the one that is kept; absent = `kind`. */
  readonly requested?: KindInfo | undefined;
  /** Of `object` and `previous`, where they are not of the resource's kind: a Scale, an Eviction, options of a connection. */
  readonly bodyKind?: BodyKind | undefined;
  /** What CreateOptions, UpdateOptions or DeleteOptions are made of, by the operation. */
  readonly options?: WriteOptions | DeleteOptions | undefined;
  /** '' = the object itself. */
  readonly subresource: string;
  readonly namespace: string;
  /** '' before a generated name is known. */
  readonly name: string;
  readonly user: UserInfo;
  readonly dryRun: boolean;
  /** The draft: `admit` may change it. Absent for DELETE; of CONNECT the options. */
  readonly object: KubeObject | undefined;
  readonly previous: DeepReadonly<KubeObject> | undefined;
  readonly warn: (text: string) => void;
  /** Adds to the audit event of the request; absent where none is written. */
  readonly annotate?: ((key: string, value: string) => void) | undefined;
}

export interface BodyKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

/** `unknown`: the store did not answer, so the write may yet be there. */
export type WriteOutcome = 'stored' | 'refused' | 'unknown';

/**
 * All plugins admit once; when one of them changed what those before it have seen, all admit once more.
 * Source: k8s.io/apiserver/pkg/admission/reinvocation.go.
 */
export interface AdmissionRound {
  readonly isReinvocation: boolean;
  requireReinvocation(): void;
}

export interface AdmissionPlugin {
  readonly name: string;
  admit?(request: AdmissionRequest, c: Ctx, round: AdmissionRound): Promise<void> | void;
  validate?(request: AdmissionRequest, c: Ctx): Promise<void> | void;
  /** Once after `validate` was called for any plugin, with what became of the write: what was held is kept or given back. */
  settle?(request: AdmissionRequest, outcome: WriteOutcome, c: Ctx): Promise<void>;
}

export class AdmissionChain {
  readonly #plugins: readonly AdmissionPlugin[];

  constructor(plugins: readonly AdmissionPlugin[]) {
    this.#plugins = plugins;
  }

  async admit(request: AdmissionRequest, c: Ctx): Promise<void> {
    let isRequired = false;
    const requireReinvocation = (): void => {
      isRequired = true;
    };
    await this.#admitOnce(request, { isReinvocation: false, requireReinvocation }, c);
    if (isRequired) await this.#admitOnce(request, { isReinvocation: true, requireReinvocation }, c);
  }

  async validate(request: AdmissionRequest, c: Ctx): Promise<void> {
    for (const p of this.#plugins) if (p.validate !== undefined) await p.validate(request, c);
  }

  async #admitOnce(request: AdmissionRequest, round: AdmissionRound, c: Ctx): Promise<void> {
    for (const p of this.#plugins) if (p.admit !== undefined) await p.admit(request, c, round);
  }

  /** Every request whose `validate` was called is settled, refused ones too. Harmless for a request that holds nothing. */
  async settle(request: AdmissionRequest, outcome: WriteOutcome, c: Ctx): Promise<void> {
    for (const p of this.#plugins) if (p.settle !== undefined) await p.settle(request, outcome, c);
  }
}

/** What a failure of the write says about it. */
export function outcomeOfFailure(e: unknown): WriteOutcome {
  switch (toStatusError(e).kind) {
    case 'Internal':
    case 'Unavailable':
    case 'DeadlineExceeded':
    case 'Cancelled':
      return 'unknown';
    default:
      return 'refused';
  }
}
