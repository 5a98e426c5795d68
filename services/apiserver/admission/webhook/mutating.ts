/**
 * MutatingAdmissionWebhook: webhooks are called one after the other, each sees what those before it made of the object. After a
 * patch, those called before that ask for it (reinvocationPolicy IfNeeded) are called once more, after all plugins have admitted
 * again.
 * Source: k8s.io/apiserver/pkg/admission/plugin/webhook/mutating/{dispatcher,reinvocationcontext}.go.
 */
import { applyJsonPatch, Kinds, type KubeObject, kindInfo, semanticEqual } from '#lib/api';
import { type Ctx, messageOf, StatusError } from '#lib/base';
import type { WatchCache } from '../../cache/watch-cache.ts';
import type { CustomVersions } from '../../custom/versions.ts';
import type { AdmissionPlugin, AdmissionRequest, AdmissionRound } from '../chain.ts';
import { type CallDeps, CallEnd, callWebhook } from './call.ts';
import { CallFailure, internalError } from './failures.ts';
import { type Hook, Hooks } from './hooks.ts';
import { type Invocation, Matching, type MatchingDeps, orInternal } from './matching.ts';
import { RequestView } from './request-view.ts';
import type { ReviewResult } from './review.ts';
import { isExempt } from './rules.ts';

export interface WebhookPluginDeps extends CallDeps, MatchingDeps {
  readonly cache: WatchCache;
  readonly versions: CustomVersions;
}

const TYPE = 'admit';
const PREFIX = 'mutation.webhook.admission.k8s.io/';
const PATCH_PREFIX = 'patch.webhook.admission.k8s.io/';

/** What the second round needs to know of the first. */
interface Progress {
  /** Those that ask to be called again, called since the object last changed. */
  readonly unchanged: Set<string>;
  /** Those to be called again. */
  readonly due: Set<string>;
  /** The object as the webhooks left it. */
  output: KubeObject | undefined;
}

export class MutatingAdmissionWebhook implements AdmissionPlugin {
  readonly name = 'MutatingAdmissionWebhook';
  readonly #o: WebhookPluginDeps;
  readonly #hooks: Hooks;
  readonly #matching: Matching;
  readonly #end: CallEnd;
  readonly #progress = new WeakMap<AdmissionRequest, Progress>();

  constructor(o: WebhookPluginDeps) {
    this.#o = o;
    this.#hooks = new Hooks(o.cache, kindInfo(Kinds.mutatingwebhookconfigurations));
    this.#matching = new Matching(o, TYPE);
    this.#end = new CallEnd({ ...o, type: TYPE });
  }

  async admit(request: AdmissionRequest, c: Ctx, round: AdmissionRound): Promise<void> {
    const hooks = this.#hooks.current();
    if (hooks.length === 0 || isExempt(request.kind)) return;
    const progress = this.#progress.get(request) ?? { unchanged: new Set(), due: new Set(), output: undefined };
    // Plugins that admitted again changed what the webhooks have seen.
    if (round.isReinvocation && !semanticEqual(progress.output, request.object)) callAgain(progress);
    const view = new RequestView(request, this.#o.versions);
    let isCalled = false;
    for (const hook of hooks) {
      const invocation = await this.#matching.invocationOf(hook, view, c);
      if (invocation === undefined || (round.isReinvocation && !progress.due.has(hook.uid))) continue;
      isCalled = true;
      const isChanged = await this.#call(invocation, view, round, c);
      if (isChanged) {
        callAgain(progress);
        round.requireReinvocation();
      }
      if (hook.spec.reinvocationPolicy === 'IfNeeded') progress.unchanged.add(hook.uid);
    }
    if (!isCalled || round.isReinvocation) return;
    // The draft is changed in place: as it was, for the second round.
    progress.output = structuredClone(request.object);
    this.#progress.set(request, progress);
  }

  /** Whether it changed the object. */
  async #call({ hook, kind }: Invocation, view: RequestView, round: AdmissionRound, c: Ctx): Promise<boolean> {
    const { request } = view;
    const place = `round_${round.isReinvocation ? 1 : 0}_index_${hook.index}`;
    const startedMs = c.clock.monotonic();
    const seconds = (): number => (c.clock.monotonic() - startedMs) / 1000;
    let isMutated = false;
    try {
      const result = await callWebhook({ ...this.#o, type: TYPE }, { hook, kind }, view, c);
      isMutated = await this.#patched(result, { hook, kind }, view, c);
      this.#end.allowed(hook, request.operation, seconds());
      if (isMutated) annotatePatch(request, hook, place, result);
    } catch (e) {
      const annotation = `failed-open.${PREFIX}${place}`;
      const refused = this.#end.failed(e, hook, view, { seconds: seconds(), annotation }, c);
      if (refused !== undefined) throw refused;
    }
    const { configuration, spec } = hook;
    const told = { configuration, webhook: spec.name, mutated: isMutated };
    request.annotate?.(`${PREFIX}${place}`, JSON.stringify(told));
    return isMutated;
  }

  async #patched(result: ReviewResult, { hook, kind }: Invocation, view: RequestView, c: Ctx): Promise<boolean> {
    if (result.patch === undefined) return false;
    const { name } = hook.spec;
    const operations = operationsOf(result.patch, name);
    if (operations.length === 0) return false;
    const object = await orInternal(view.object(kind, c));
    if (object === undefined) {
      const why = `admission webhook ${JSON.stringify(name)} attempted to modify the object, which is not supported for this operation`;
      throw internalError(why);
    }
    if (result.patchType !== 'JSONPatch')
      throw new CallFailure(name, `unsupported patch type ${JSON.stringify(result.patchType)}`, { code: 503 });
    let next: unknown;
    try {
      next = applyJsonPatch(object, operations);
    } catch (e) {
      throw internalError(messageOf(e), e);
    }
    return await replaced(kind, next, view, c);
  }
}

/** A patch that leaves no object of the kind is the webhook's fault, and so not the client's. */
async function replaced(kind: Invocation['kind'], next: unknown, view: RequestView, c: Ctx): Promise<boolean> {
  try {
    return await view.replace(kind, structuredClone(next), c);
  } catch (e) {
    throw e instanceof StatusError && e.kind === 'Internal' ? e : internalError(messageOf(e), e);
  }
}

function operationsOf(patch: Buffer, name: string): unknown[] {
  try {
    const operations: unknown = JSON.parse(patch.toString('utf8'));
    if (Array.isArray(operations)) return operations;
    throw new Error('json: cannot unmarshal object into Go value of type jsonpatch.Patch');
  } catch (e) {
    const why = `received undecodable patch in webhook response: ${messageOf(e)}`;
    throw new CallFailure(name, why, { code: 503, cause: e });
  }
}

function annotatePatch(request: AdmissionRequest, hook: Hook, place: string, { patch, patchType }: ReviewResult): void {
  if (request.annotate === undefined || patch === undefined) return;
  const operations: unknown = JSON.parse(patch.toString('utf8'));
  const { configuration, spec } = hook;
  const told = { configuration, webhook: spec.name, patch: operations, patchType };
  request.annotate(`${PATCH_PREFIX}${place}`, JSON.stringify(told));
}

function callAgain(progress: Progress): void {
  for (const uid of progress.unchanged) progress.due.add(uid);
  progress.unchanged.clear();
}
