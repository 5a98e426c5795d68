/**
 * ValidatingAdmissionWebhook: all that match are called side by side with the object as it is to be stored; the first refusal in
 * their order is the answer.
 * Source: k8s.io/apiserver/pkg/admission/plugin/webhook/validating/dispatcher.go.
 */
import { Kinds, kindInfo } from '#lib/api';
import type { Ctx } from '#lib/base';
import type { AdmissionPlugin, AdmissionRequest } from '../chain.ts';
import { CallEnd, callWebhook } from './call.ts';
import { Hooks } from './hooks.ts';
import { type Invocation, Matching } from './matching.ts';
import type { WebhookPluginDeps } from './mutating.ts';
import { RequestView } from './request-view.ts';
import { isExempt } from './rules.ts';

const TYPE = 'validating';
const FAILED_OPEN = 'failed-open.validating.webhook.admission.k8s.io/';

export class ValidatingAdmissionWebhook implements AdmissionPlugin {
  readonly name = 'ValidatingAdmissionWebhook';
  readonly #o: WebhookPluginDeps;
  readonly #hooks: Hooks;
  readonly #matching: Matching;
  readonly #end: CallEnd;

  constructor(o: WebhookPluginDeps) {
    this.#o = o;
    this.#hooks = new Hooks(o.cache, kindInfo(Kinds.validatingwebhookconfigurations));
    this.#matching = new Matching(o, TYPE);
    this.#end = new CallEnd({ ...o, type: TYPE });
  }

  async validate(request: AdmissionRequest, c: Ctx): Promise<void> {
    const hooks = this.#hooks.current();
    if (hooks.length === 0 || isExempt(request.kind)) return;
    const view = new RequestView(request, this.#o.versions);
    const invocations: Invocation[] = [];
    for (const hook of hooks) {
      const invocation = await this.#matching.invocationOf(hook, view, c);
      if (invocation !== undefined) invocations.push(invocation);
    }
    if (invocations.length === 0) return;
    // Bounded by the configurations that the cluster's administrators made.
    const refusals = await Promise.all(invocations.map((invocation, i) => this.#call(invocation, i, view, c)));
    const first = refusals.find((e) => e !== undefined);
    if (first !== undefined) throw first;
  }

  /** What refuses the request, if anything does. */
  async #call(invocation: Invocation, index: number, view: RequestView, c: Ctx): Promise<unknown> {
    const { hook } = invocation;
    const startedMs = c.clock.monotonic();
    const seconds = (): number => (c.clock.monotonic() - startedMs) / 1000;
    try {
      await callWebhook({ ...this.#o, type: TYPE }, invocation, view, c);
      this.#end.allowed(hook, view.request.operation, seconds());
      return undefined;
    } catch (e) {
      const annotation = `${FAILED_OPEN}round_0_index_${index}`;
      return this.#end.failed(e, hook, view, { seconds: seconds(), annotation }, c);
    }
  }
}
