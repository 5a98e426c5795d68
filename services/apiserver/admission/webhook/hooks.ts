/**
 * The webhooks of one kind of configuration, ready to be matched: in the order of the configurations' names, then as they stand
 * in each. Made anew only when a configuration changes; where there is none, asking costs a comparison.
 * Source: k8s.io/apiserver/pkg/admission/configuration, plugin/webhook/accessors.go.
 */
import {
  type DeepReadonly,
  type KindInfo,
  type KubeObject,
  type LabelMatcher,
  type MutatingWebhook,
  matcherOf,
} from '#lib/api';
import type { ResourceCache } from '../../cache/resource-cache.ts';
import type { WatchCache } from '../../cache/watch-cache.ts';
import { MatchConditions } from './conditions.ts';

/** What both kinds have, and what mutating ones have besides. */
export type Webhook = DeepReadonly<MutatingWebhook>;

export interface Hook {
  /** Of the webhook in its configuration, however its order changes. */
  readonly uid: string;
  readonly configuration: string;
  /** Among all of its kind. */
  readonly index: number;
  readonly spec: Webhook;
  readonly namespaces: LabelMatcher;
  readonly objects: LabelMatcher;
  readonly conditions: MatchConditions | undefined;
  readonly timeoutMs: number;
  readonly ignoresFailures: boolean;
}

interface Configuration extends KubeObject {
  webhooks?: Webhook[];
}

const TIMEOUT_SECONDS = 10;
const NONE: readonly Hook[] = [];

export class Hooks {
  readonly #cache: WatchCache;
  readonly #kind: KindInfo;
  #made: { readonly of: ResourceCache; readonly at: bigint; readonly hooks: readonly Hook[] } | undefined;

  constructor(cache: WatchCache, kind: KindInfo) {
    this.#cache = cache;
    this.#kind = kind;
  }

  current(): readonly Hook[] {
    const of = this.#cache.of(this.#kind);
    if (of.size === 0) return NONE;
    const at = of.changedRevision;
    if (this.#made?.of !== of || this.#made.at !== at) this.#made = { of, at, hooks: hooksOf(of) };
    return this.#made.hooks;
  }
}

function hooksOf(configurations: ResourceCache): Hook[] {
  const hooks: Hook[] = [];
  // In the order of names.
  for (const { object } of configurations.items('')) {
    const { metadata, webhooks = [] } = object as DeepReadonly<Configuration>;
    const seen = new Map<string, number>();
    for (const spec of webhooks) {
      const nth = seen.get(spec.name) ?? 0;
      seen.set(spec.name, nth + 1);
      const { matchConditions = [], timeoutSeconds = TIMEOUT_SECONDS } = spec;
      hooks.push({
        uid: `${metadata.name}/${spec.name}/${nth}`,
        configuration: metadata.name,
        index: hooks.length,
        spec,
        namespaces: matcherOf(spec.namespaceSelector ?? {}),
        objects: matcherOf(spec.objectSelector ?? {}),
        conditions: matchConditions.length === 0 ? undefined : new MatchConditions(matchConditions),
        timeoutMs: timeoutSeconds * 1000,
        ignoresFailures: spec.failurePolicy === 'Ignore',
      });
    }
  }
  return hooks;
}
