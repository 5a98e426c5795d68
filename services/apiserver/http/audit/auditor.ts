/**
 * One request's audit events: from the policy's word on it to its last stage.
 *
 * Life: `begin` once it is known who asks; `body` with what was sent; `started` when a watch or stream has begun; `complete`
 * once, with the answer. Stages that the policy omits are not recorded; bodies only at the level that has them, without
 * credentials (redact.ts).
 * Source: k8s.io/apiserver/pkg/endpoints/filters/audit.go, pkg/audit/request.go.
 */
import type { Clock, StatusError } from '#lib/base';
import type { UserInfo } from '#lib/client';
import type { RequestInfo } from '../request-info.ts';
import { type AuditedRequest, auditEvent, type ResponseStatus, type StageFacts } from './event.ts';
import { type AuditAttributes, type AuditDecision, type AuditPolicy, type AuditStage, decide } from './policy.ts';
import { cappedLevel, isSealed, redacted } from './redact.ts';
import type { AuditTrail } from './trail.ts';

const DECISION = 'authorization.k8s.io/decision';
const NEVER_QUOTING: ReadonlySet<string> = new Set([
  'NotFound',
  'AlreadyExists',
  'Conflict',
  'Unauthorized',
  'TooManyRequests',
]);
/** No valid name or uid is longer; of what a client sends no more is kept. */
const IDENTITY_MAX = 253;

export interface AuditorOptions {
  readonly policy: AuditPolicy;
  readonly trail: AuditTrail;
  readonly clock: Clock;
}

export interface AuditSubject extends Omit<AuditedRequest, 'level'> {
  /** Whether it ends by itself soon; watches and streams have a stage of their own when they begin. */
  readonly isLong: boolean;
}

export interface AuditAnswer {
  readonly code: number;
  readonly error?: StatusError | undefined;
  readonly object?: unknown;
}

export class Auditor {
  readonly #o: AuditorOptions;

  constructor(o: AuditorOptions) {
    this.#o = o;
  }

  /** undefined when the policy says not to record it. */
  begin(subject: AuditSubject): AuditedCall | undefined {
    const { info } = subject;
    const decision = decide(this.#o.policy, attributesOf(info, subject.user));
    const sealed = info.type === 'resource' && isSealed(info.group, info.resource, info.subresource ?? '');
    const level = cappedLevel(decision.level, sealed);
    if (level === 'None') return undefined;
    const call = new AuditedCall(
      { ...subject, level },
      { decision, sealed, trail: this.#o.trail, clock: this.#o.clock },
    );
    call.received();
    return call;
  }

  metricLines(): Iterable<string> {
    return this.#o.trail.metricLines();
  }
}

interface CallParts {
  readonly decision: AuditDecision;
  readonly sealed: boolean;
  readonly trail: AuditTrail;
  readonly clock: Clock;
}

export class AuditedCall {
  readonly #request: AuditedRequest & { readonly isLong: boolean };
  readonly #parts: CallParts;
  readonly #annotations: Record<string, string> = {};
  #identity: StageFacts['identity'];
  #requestObject: unknown;

  constructor(request: AuditedRequest & { readonly isLong: boolean }, parts: CallParts) {
    this.#request = request;
    this.#parts = parts;
  }

  received(): void {
    this.#record('RequestReceived', {});
  }

  decided(isAllowed: boolean): void {
    this.#annotations[DECISION] = isAllowed ? 'allow' : 'forbid';
  }

  /** What admission has to say; the first of one key stays, as in Kubernetes. */
  annotate(key: string, value: string): void {
    if (!Object.hasOwn(this.#annotations, key)) this.#annotations[key] = value;
  }

  get hasResponseBody(): boolean {
    return this.#request.level === 'RequestResponse';
  }

  /** As the client sent it, before anything changes it. */
  body(value: unknown): void {
    this.#identity = identityOf(value);
    if (this.#request.level === 'Request' || this.hasResponseBody)
      this.#requestObject = redacted(value, this.#parts.decision);
  }

  started(code: number): void {
    if (this.#request.isLong) this.#record('ResponseStarted', { response: { metadata: {}, code } });
  }

  complete(answer: AuditAnswer): void {
    const withObject = this.hasResponseBody && answer.object !== undefined;
    this.#record('ResponseComplete', {
      response: this.#response(answer),
      ...(withObject ? { responseObject: redacted(answer.object, this.#parts.decision) } : {}),
    });
  }

  /** A message may quote the body (validation, a policy's own words): of sealed kinds only those that cannot are told. */
  #response({ code, error }: AuditAnswer): ResponseStatus {
    if (error === undefined) return { metadata: {}, code };
    const isRefused = this.#annotations[DECISION] === 'forbid';
    const isTold = !this.#parts.sealed || isRefused || NEVER_QUOTING.has(error.kind);
    const message = isTold ? { message: error.message } : {};
    return { metadata: {}, status: 'Failure', ...message, reason: error.reason, code };
  }

  #record(stage: AuditStage, facts: Partial<StageFacts>): void {
    if (this.#parts.decision.omitStages.has(stage)) return;
    const hasAnnotations = Object.keys(this.#annotations).length > 0;
    this.#parts.trail.record(
      auditEvent(this.#request, {
        ...facts,
        stage,
        atMs: this.#parts.clock.now(),
        identity: this.#identity,
        ...(this.#requestObject === undefined ? {} : { requestObject: this.#requestObject }),
        ...(hasAnnotations ? { annotations: { ...this.#annotations } } : {}),
      }),
    );
  }
}

function attributesOf(info: RequestInfo, user: UserInfo | undefined): AuditAttributes {
  if (info.type === 'path') return { type: 'path', user, verb: info.verb, path: info.path };
  const { verb, group, resource, subresource = '', namespace, name = '' } = info;
  return { type: 'resource', user, verb, group, resource, subresource, namespace, name };
}

const IDENTITY = ['name', 'namespace', 'uid', 'resourceVersion'] as const;

function identityOf(body: unknown): StageFacts['identity'] {
  if (typeof body !== 'object' || body === null || !('metadata' in body)) return undefined;
  const { metadata } = body;
  if (typeof metadata !== 'object' || metadata === null) return undefined;
  const identity: Partial<Record<(typeof IDENTITY)[number], string>> = {};
  for (const [name, value] of Object.entries(metadata)) {
    const field = IDENTITY.find((f) => f === name);
    if (field !== undefined && typeof value === 'string') identity[field] = value.slice(0, IDENTITY_MAX);
  }
  return identity;
}
