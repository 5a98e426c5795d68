/**
 * One call of one webhook for one request, and what both kinds of webhooks do with its end: warnings, annotations, metrics,
 * failurePolicy.
 * Source: k8s.io/apiserver/pkg/admission/plugin/webhook/{mutating,validating}/dispatcher.go.
 */
import { type Ctx, isKind, messageOf, type Random, StatusError } from '#lib/base';
import type { WebhookClient } from '../../webhooks/client.ts';
import type { WebhookMetrics, WebhookType } from '../../webhooks/metrics.ts';
import { CallFailure, codeOf, internalError, Rejection, rejectionOf } from './failures.ts';
import type { Hook } from './hooks.ts';
import { type Invocation, orInternal } from './matching.ts';
import type { RequestView } from './request-view.ts';
import { type ReviewResult, requestFields, resultOf, reviewOf, reviewVersionOf } from './review.ts';

export interface CallDeps {
  readonly client: WebhookClient;
  readonly metrics: WebhookMetrics;
  readonly random: Random;
}

/** Throws CallFailure, Rejection, or StatusError for what is nobody's fault but ours or the caller's. */
export async function callWebhook(
  o: CallDeps & { readonly type: WebhookType },
  invocation: Invocation,
  view: RequestView,
  c: Ctx,
): Promise<ReviewResult> {
  const { hook, kind } = invocation;
  const { name, clientConfig, admissionReviewVersions } = hook.spec;
  const { request } = view;
  if (request.dryRun) requireHarmless(hook);
  const version = reviewVersionOf(admissionReviewVersions);
  if (version === undefined) {
    const why =
      'could not create admission objects: webhook does not accept known AdmissionReview versions (v1, v1beta1)';
    throw new CallFailure(name, why, { code: 400 });
  }
  const uid = o.random.uuid();
  const objects = {
    object: await orInternal(view.object(kind, c)),
    oldObject: await orInternal(view.previous(kind, c)),
  };
  const body = reviewOf(version, uid, requestFields(view, kind), objects);
  const call = { config: clientConfig, body, timeoutMs: hook.timeoutMs, tellsTimeout: true };
  const answer = await posted(o.client, name, call, c);
  const result = resultOf(answer, { version, uid, isMutating: o.type === 'admit' });
  if (typeof result === 'string')
    throw new CallFailure(name, `received invalid webhook response: ${result}`, { code: 503 });
  for (const [key, value] of result.auditAnnotations) request.annotate?.(`${name}/${key}`, value);
  for (const warning of result.warnings) request.warn(warning);
  if (!result.isAllowed) throw new Rejection(rejectionOf(name, result.status));
  return result;
}

async function posted(
  client: WebhookClient,
  name: string,
  call: Parameters<WebhookClient['post']>[0],
  c: Ctx,
): Promise<unknown> {
  try {
    return await client.post(call, c);
  } catch (e) {
    // The client has gone, or the request's own time is up.
    if (c.signal.aborted) throw timedOut();
    const code = e instanceof StatusError ? codeOf(e) : 503;
    throw new CallFailure(name, `failed to call webhook: ${messageOf(e)}`, { code, cause: e });
  }
}

function timedOut(): StatusError {
  return new StatusError('DeadlineExceeded', 'Timeout: request did not complete within requested timeout');
}

function requireHarmless({ spec }: Hook): void {
  if (spec.sideEffects === 'None' || spec.sideEffects === 'NoneOnDryRun') return;
  const why = `admission webhook ${JSON.stringify(spec.name)} does not support dry run`;
  throw new StatusError('BadRequest', why);
}

/** Counts the call; gives back nothing when the request may go on, the failure that refuses it otherwise. */
export class CallEnd {
  readonly #o: CallDeps & { readonly type: WebhookType };

  constructor(o: CallDeps & { readonly type: WebhookType }) {
    this.#o = o;
  }

  allowed(hook: Hook, operation: string, seconds: number): void {
    const { type, metrics } = this.#o;
    metrics.called({ name: hook.spec.name, type, operation, seconds, isRejected: false, code: 200 });
  }

  /** `annotation`: prefix and place of a failure that is passed over. */
  failed(e: unknown, hook: Hook, view: RequestView, o: { seconds: number; annotation: string }, c: Ctx): unknown {
    const { type, metrics } = this.#o;
    const { name } = hook.spec;
    const { operation } = view.request;
    const isOpen = e instanceof CallFailure && hook.ignoresFailures;
    const code = e instanceof CallFailure ? e.code : e instanceof Rejection ? codeOf(e.status) : 0;
    metrics.called({ name, type, operation, seconds: o.seconds, isRejected: !isOpen, code });
    if (isOpen) {
      metrics.failedOpen(name, type);
      view.request.annotate?.(o.annotation, name);
      c.log.warn({ err: e, webhook: name }, 'a webhook could not be called and is passed over');
      return undefined;
    }
    const cause =
      e instanceof CallFailure
        ? 'calling_webhook_error'
        : e instanceof Rejection
          ? 'no_error'
          : 'apiserver_internal_error';
    metrics.rejected({ name, type, operation, code }, cause);
    if (e instanceof CallFailure) return internalError(e.message, e);
    if (e instanceof Rejection) return e.status;
    return isKind(e, 'Cancelled') ? timedOut() : e;
  }
}
