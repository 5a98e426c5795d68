/**
 * The HTTP front: one request from bytes to bytes. Order as Kubernetes': audit id, authentication (401), audit, priority and
 * fairness (429), authorization (403), decoding (400/415), admission and storage (lib and handlers), encoding.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { KindInfo } from '#lib/api';
import {
  type Clock,
  type Ctx,
  type Logger,
  type Random,
  raceAbort,
  StatusError,
  TimeLimits,
  toStatusError,
} from '#lib/base';
import { type RequestBase, statusOfError, type UserInfo } from '#lib/client';
import type { Api } from '../api.ts';
import { pathNotFound } from '../api-errors.ts';
import type { Authenticator } from '../authn/authenticator.ts';
import { requireAllowed } from '../authz/require.ts';
import type { CoreResult } from '../core.ts';
import type { KindRegistry } from '../kind-registry.ts';
import type { Metrics } from '../metrics.ts';
import type { Aggregator } from './aggregate/aggregator.ts';
import type { AuditedCall, Auditor } from './audit/auditor.ts';
import { answeredObject, auditFacts, type HttpFacts } from './audit/http.ts';
import { CallLife } from './call-life.ts';
import { type FlowFilter, releasedWhenInitialized } from './fairness/filter.ts';
import { type Form, negotiate } from './negotiate.ts';
import { watchQuery } from './options.ts';
import type { PathRoutes } from './paths.ts';
import { isMethod, isMisplacedVerb, isUnknownStream, isWellPlaced, STREAMS } from './places.ts';
import type { ProxyRoutes } from './proxy/forward.ts';
import { readRequest, readRequestBody } from './read-request.ts';
import { attributesOf, parsed, type RequestInfo, type ResourceInfo, streamVerb } from './request-info.ts';
import { type Answer, sendBytes, sendError, sendResult } from './respond.ts';
import { isRetryLater, ShuttingDown, sendRetryLater } from './retry-later.ts';
import type { StreamRoutes } from './streams.ts';
import { warningHeaders } from './warnings.ts';
import type { WatchPace } from './watch-pace.ts';
import { sendWatch } from './watch-stream.ts';

/** Of requests that are neither watches nor streams. */
const REQUEST_MS = 60_000;
const SERVED_WHILE_STOPPING = ['/readyz', '/livez', '/healthz', '/metrics'];

export interface FrontOptions {
  readonly api: Api;
  readonly authenticator: Authenticator;
  readonly paths: PathRoutes;
  readonly streams: StreamRoutes;
  readonly aggregator: Aggregator;
  readonly proxy: ProxyRoutes;
  readonly metrics: Metrics;
  readonly pace: WatchPace;
  readonly flows: FlowFilter;
  /** undefined: nothing is recorded. */
  readonly auditor: Auditor | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Aborts when the server stops: watches end cleanly. */
  readonly stopping: AbortSignal;
}

interface Call {
  readonly req: IncomingMessage;
  readonly answer: Answer;
  readonly info: RequestInfo;
  readonly query: URLSearchParams;
  readonly warnings: Set<string>;
  readonly c: Ctx;
  readonly facts: HttpFacts;
  audit: AuditedCall | undefined;
  /** Of the answer, for its audit record. */
  error: StatusError | undefined;
  result: CoreResult | undefined;
}

export class Front {
  readonly #o: FrontOptions;
  readonly #limits: TimeLimits;

  constructor(o: FrontOptions) {
    this.#o = o;
    this.#limits = new TimeLimits(o.clock, REQUEST_MS);
  }

  async handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const { url, info, query } = parsed(req);
    const isLong = info.type === 'resource' && (info.verb === 'watch' || STREAMS.has(info.subresource ?? ''));
    const answered = this.#o.metrics.begin(info, { isLong, isDryRun: query.has('dryRun') });
    const life = new CallLife(res, { isLong, limits: this.#limits, stopping: this.#o.stopping });
    const { signal } = life;
    const answer = this.#answer(req, res, query);
    const c: Ctx = { signal, clock: this.#o.clock, log: this.#o.log };
    const facts = { req, info, auditId: this.#headers(req, res), receivedMs: this.#o.clock.now(), isLong };
    const call: Call = { ...NO_RECORD, req, answer, info, query, warnings: new Set(), c, facts };
    try {
      this.#requireRunning(call);
      await this.#serve(call);
    } catch (e) {
      await this.#failed(call, signal.aborted && signal.reason instanceof StatusError ? signal.reason : e, url);
    } finally {
      life.end();
      answered(res.statusCode);
      const object = recordedObject(call, this.#o.api.core.kinds);
      call.audit?.complete({ code: res.statusCode, error: call.error, ...(object === undefined ? {} : { object }) });
    }
  }

  async upgrade(req: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const { info, query } = parsed(req);
    const c: Ctx = { signal: this.#o.stopping, clock: this.#o.clock, log: this.#o.log };
    const auditId = auditIdOf(req) ?? this.#o.random.uuid();
    const facts = { req, info, auditId, receivedMs: this.#o.clock.now(), isLong: true };
    const answered = this.#o.metrics.begin(info, { isLong: true, isUpgrade: true });
    let audit: AuditedCall | undefined;
    let error: StatusError | undefined;
    try {
      const user = await this.#identify(facts, c, (begun) => {
        audit = begun;
      });
      const delegate = this.#o.aggregator.delegateOf(req.url);
      if (delegate?.upgrade !== undefined) {
        await this.#allow(audit, requireAllowed(this.#o.api.core.authorizer, attributesOf(info, user)));
        audit?.started(101);
        await delegate.upgrade({ req, socket, head, user }, c);
        return;
      }
      if (info.type === 'path') throw new StatusError('BadRequest', 'this path cannot be upgraded');
      const kind = this.#kindOf(info);
      if (kind === undefined || isUnknownStream(info, kind) || !isWellPlaced(info, kind)) throw pathNotFound();
      const base = this.#base(req, info, user, { annotate: audit?.annotate });
      await this.#allow(audit, this.#o.api.authorize(this.#o.api.target(base), streamVerb(info, req.method)));
      audit?.started(101);
      if (info.subresource === 'proxy') await this.#o.proxy.upgrade({ req, socket, head, base }, c);
      else await this.#o.streams.upgrade({ req, socket, head, query, base }, c);
    } catch (e) {
      error = toStatusError(e);
      throw e;
    } finally {
      const code = error === undefined ? 101 : statusOfError(error).code;
      answered(code);
      audit?.complete({ code, error });
    }
  }

  /** Who asks, and the record of it from there on: those who are not known have one too. */
  async #identify(facts: HttpFacts, c: Ctx, begun: (audit: AuditedCall | undefined) => void): Promise<UserInfo> {
    let real: UserInfo | undefined;
    let user: UserInfo | undefined;
    try {
      user = await this.#o.authenticator.authenticate(facts.req, c, (identified) => {
        real = identified;
      });
      return user;
    } finally {
      const impersonated = user === undefined || user === real ? undefined : user;
      begun(this.#o.auditor?.begin(facts.info, real, () => auditFacts(facts, impersonated)));
    }
  }

  async #allow(audit: AuditedCall | undefined, authorized: Promise<void>): Promise<void> {
    try {
      await authorized;
      audit?.decided(true);
    } catch (e) {
      if (toStatusError(e).kind === 'Forbidden') audit?.decided(false);
      throw e;
    }
  }

  async #serve(call: Call): Promise<void> {
    const { info, answer, query, c } = call;
    const user = await this.#identify(call.facts, c, (audit) => {
      call.audit = audit;
    });
    const needsSeat = info.type === 'path' || info.verb === 'watch' || !call.facts.isLong;
    const seat = needsSeat ? await this.#o.flows.admit({ user, info, query, res: answer.res }, c.signal) : undefined;
    try {
      await this.#serveAs(call, user, () => seat?.release());
    } finally {
      seat?.release();
    }
  }

  async #serveAs(call: Call, user: UserInfo, releaseSeat: () => void): Promise<void> {
    const { req, info, answer, query, c } = call;
    const delegate = this.#o.aggregator.delegateOf(req.url);
    if (delegate !== undefined || info.type === 'path')
      await this.#allow(call.audit, requireAllowed(this.#o.api.core.authorizer, attributesOf(info, user)));
    if (delegate !== undefined) {
      await delegate.serve({ req, answer, info, query, user }, c);
      return;
    }
    if (info.type === 'resource' && !isMethod(info, req.method)) throw notAllowedHere();
    if (info.type === 'path') {
      await this.#o.paths.serve({ req, answer, path: info.path, query }, c);
      return;
    }
    const kind = this.#kindOf(info) ?? (await this.#newKind(call, info, user));
    if (kind === undefined || !isWellPlaced(info, kind) || isMisplacedVerb(info, kind) || isUnknownStream(info, kind)) {
      await this.#refuseUnknown(call, info, user);
      return;
    }
    const warn = (text: string): void => void call.warnings.add(text);
    const base = this.#base(req, info, user, { warn, annotate: call.audit?.annotate });
    if (info.verb === 'watch') {
      const q = watchQuery(query, info.namespace);
      const form = negotiate(req.headers.accept, true);
      const items = await this.#o.api.openWatch({ ...base, query: q }, c);
      call.audit?.decided(true);
      call.audit?.started(200);
      sendWarnings(call);
      const stream = { ...answer, form, pace: this.#o.pace };
      await sendWatch(stream, kind, releasedWhenInitialized(items, query, releaseSeat), c);
      return;
    }
    if (info.verb === 'get' && info.subresource === 'log') {
      await this.#allow(call.audit, this.#o.api.authorize(this.#o.api.target(base), 'get'));
      call.audit?.started(200);
      await this.#o.streams.log({ res: answer.res, query, base }, c);
      return;
    }
    if (STREAMS.has(info.subresource ?? '')) {
      await this.#allow(call.audit, this.#o.api.authorize(this.#o.api.target(base), streamVerb(info, req.method)));
      if (info.subresource === 'proxy') {
        await this.#o.proxy.handle({ req, res: answer.res, base }, c);
        return;
      }
      throw new StatusError('BadRequest', 'Upgrade request required');
    }
    await this.#respond(call, kind, base);
  }

  async #respond(call: Call, kind: KindInfo, base: RequestBase): Promise<void> {
    const { req, info, c } = call;
    if (info.type !== 'resource') return;
    // Before decoding, so that nobody learns from an answer what they may not do (403 comes before 400, 404 and 415).
    const selector = isCollection(info.verb) ? (call.query.get('fieldSelector') ?? '') : '';
    await this.#allow(call.audit, this.#o.api.authorize(this.#o.api.target(base), info.verb, selector));
    const isReview = info.verb === 'create' && !kind.verbs.includes('get');
    const form = negotiate(req.headers.accept, !isReview && info.subresource !== 'scale');
    const asked = { req, info, query: call.query, warn: (text: string): void => void call.warnings.add(text) };
    // A body that never ends holds neither its seat nor its request: the time limit is for it too.
    const request = readRequest(asked, base) ?? (await raceAbort(readRequestBody(asked, base), call.c.signal));
    if ('body' in request) call.audit?.body(request.body);
    const result = await this.#o.api.runAuthorized(request, c);
    call.result = result;
    sendWarnings(call);
    await sendResult({ ...call.answer, form: formOf(form, result.type) }, kind, result);
  }

  #kindOf(info: ResourceInfo): KindInfo | undefined {
    return this.#o.api.core.kinds.byResource(info.group, info.version, info.resource);
  }

  /** One that another server may have established just now: looked for again when all writes until now have been seen. */
  async #newKind(call: Call, info: ResourceInfo, user: UserInfo): Promise<KindInfo | undefined> {
    if (!info.group.includes('.')) return undefined;
    await this.#allow(call.audit, requireAllowed(this.#o.api.core.authorizer, attributesOf(info, user)));
    await this.#o.api.core.cache.consistent(call.c);
    return this.#kindOf(info);
  }

  #base(req: IncomingMessage, info: ResourceInfo, user: UserInfo, told: Partial<RequestBase>): RequestBase {
    const kind = this.#kindOf(info);
    if (kind === undefined) throw pathNotFound();
    return {
      user,
      kind,
      namespace: info.namespace,
      name: info.name,
      subresource: info.subresource,
      userAgent: req.headers['user-agent'],
      ...told,
    };
  }

  /** Authorization comes before existence. */
  async #refuseUnknown(call: Call, info: ResourceInfo, user: UserInfo): Promise<void> {
    await this.#allow(call.audit, requireAllowed(this.#o.api.core.authorizer, attributesOf(info, user)));
    const kind = this.#kindOf(info);
    if (kind !== undefined && isMisplacedVerb(info, kind)) throw notAllowedHere();
    if (kind !== undefined && isWellPlaced(info, kind)) throw pathNotFound();
    await sendBytes(call.answer, 404, Buffer.from('404 page not found\n'), 'text/plain; charset=utf-8');
  }

  async #failed(call: Call, e: unknown, url: string): Promise<void> {
    const { res } = call.answer;
    const error = toStatusError(e);
    call.error = error;
    if (error.kind === 'Internal') this.#o.log.error({ err: e, method: call.req.method, url }, 'request failed');
    if (res.headersSent || res.destroyed) {
      res.destroy();
      return;
    }
    if (!call.req.readableEnded) call.req.resume();
    sendWarnings(call);
    if (isRetryLater(error)) await sendRetryLater(call.answer, error);
    else await sendError(call.answer, error);
  }

  /** The audit id. */
  #headers(req: IncomingMessage, res: ServerResponse): string {
    const auditId = auditIdOf(req) ?? this.#o.random.uuid();
    res.setHeader('audit-id', auditId);
    res.setHeader('cache-control', 'no-cache, private');
    return auditId;
  }

  /** A stopping server sends new requests elsewhere; it still says how it is (with_retry_after.go). */
  #requireRunning({ info, answer }: Call): void {
    if (!this.#o.stopping.aborted) return;
    if (info.type === 'path' && SERVED_WHILE_STOPPING.some((prefix) => info.path.startsWith(prefix))) return;
    answer.res.setHeader('connection', 'close');
    throw new ShuttingDown();
  }

  #answer(req: IncomingMessage, res: ServerResponse, query: URLSearchParams): Answer {
    const agent = req.headers['user-agent'] ?? '';
    const asked = query.get('pretty');
    const include = query.get('includeObject');
    return {
      res,
      form: { as: 'object', yaml: false },
      pretty: asked === null ? /^(curl|Wget|Mozilla\/5\.0)/.test(agent) : asked === 'true' || asked === '1',
      acceptsGzip: /\bgzip\b/.test(String(req.headers['accept-encoding'] ?? '')),
      includeObject: include === 'None' || include === 'Object' ? include : 'Metadata',
      now: () => this.#o.clock.now(),
    };
  }
}

const NO_RECORD = { audit: undefined, error: undefined, result: undefined };

function auditIdOf(req: IncomingMessage): string | undefined {
  return req.headers['audit-id'] === undefined ? undefined : req.headersDistinct['audit-id']?.[0];
}

function recordedObject({ audit, info, result }: Call, kinds: KindRegistry): unknown {
  if (audit?.hasResponseBody !== true || info.type !== 'resource' || result === undefined) return undefined;
  const kind = kinds.byResource(info.group, info.version, info.resource);
  return kind === undefined ? undefined : answeredObject(kind, result);
}

function notAllowedHere(): StatusError {
  return new StatusError('MethodNotAllowed', 'the server does not allow this method on the requested resource');
}

function isCollection(verb: string): boolean {
  return verb === 'list' || verb === 'deletecollection';
}

/** Statuses have no table. */
function formOf(form: Form, type: string): Form {
  return type === 'status' && form.as !== 'object' ? { as: 'object', yaml: false } : form;
}

function sendWarnings(call: Call): void {
  if (call.warnings.size > 0) call.answer.res.setHeader('warning', warningHeaders(call.warnings));
}
