/**
 * The HTTP front: one request from bytes to bytes. Order as Kubernetes': audit id, authentication (401), audit, priority and
 * fairness (429), authorization (403), decoding (400/415), admission and storage (lib and handlers), encoding.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { KindInfo } from '#lib/api';
import { type Clock, type Ctx, type Logger, type Random, raceAbort, StatusError, toStatusError } from '#lib/base';
import { type ApiRequest, type RequestBase, statusOfError, type UserInfo } from '#lib/client';
import type { Api } from '../api.ts';
import { pathNotFound } from '../api-errors.ts';
import type { Authenticator } from '../authn/authenticator.ts';
import { requireAllowed } from '../authz/require.ts';
import type { CoreResult } from '../core.ts';
import type { KindRegistry } from '../kind-registry.ts';
import type { Metrics } from '../metrics.ts';
import type { Aggregator } from './aggregate/aggregator.ts';
import type { AuditedCall, Auditor } from './audit/auditor.ts';
import { answeredObject, auditSubject, type HttpFacts } from './audit/http.ts';
import { readObject, readPatch } from './body.ts';
import { type FlowFilter, releasedWhenInitialized } from './fairness/filter.ts';
import { type Form, negotiate } from './negotiate.ts';
import { deleteOptions, fieldValidation, listQuery, watchQuery, writeOptions } from './options.ts';
import type { PathRoutes } from './paths.ts';
import { isMethod, isMisplacedVerb, isUnknownStream, isWellPlaced, STREAMS } from './places.ts';
import type { ProxyRoutes } from './proxy/forward.ts';
import { attributesOf, parsed, type RequestInfo, type ResourceInfo, streamVerb } from './request-info.ts';
import { type Answer, sendBytes, sendError, sendResult } from './respond.ts';
import { isRetryLater, ShuttingDown, sendRetryLater } from './retry-later.ts';
import type { StreamRoutes } from './streams.ts';
import { warningHeaders } from './warnings.ts';
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

  constructor(o: FrontOptions) {
    this.#o = o;
  }

  async handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const { url, info, query } = parsed(req);
    const isLong = info.type === 'resource' && (info.verb === 'watch' || STREAMS.has(info.subresource ?? ''));
    const answered = this.#o.metrics.begin(info, { isLong, isDryRun: query.has('dryRun') });
    const abort = new AbortController();
    const { signal } = abort;
    // A stopping server ends its watches and lets short requests finish.
    const onStop = (): void => abort.abort(this.#o.stopping.reason);
    if (isLong) this.#o.stopping.addEventListener('abort', onStop, { once: true });
    res.once('close', () => abort.abort(new DOMException('the client has gone', 'AbortError')));
    const onLimit = (): void => {
      abort.abort(timeout());
      // A client that does not read what it asked for.
      if (res.headersSent) res.destroy();
    };
    const limit = isLong ? undefined : this.#o.clock.after(REQUEST_MS, onLimit, { unref: true });
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
      limit?.cancel();
      this.#o.stopping.removeEventListener('abort', onStop);
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
      const base = this.#base(req, info, user);
      if (isUnknownStream(info, base.kind)) throw pathNotFound();
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
      begun(this.#o.auditor?.begin(auditSubject(facts, real, user ?? real)));
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
    const base = this.#base(req, info, user, (text) => call.warnings.add(text));
    if (info.verb === 'watch') {
      const q = watchQuery(query, info.namespace);
      const form = negotiate(req.headers.accept, true);
      const items = await this.#o.api.openWatch({ ...base, query: q }, c);
      call.audit?.decided(true);
      call.audit?.started(200);
      sendWarnings(call);
      await sendWatch({ ...answer, form }, kind, releasedWhenInitialized(items, query, releaseSeat), c);
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
    const { audit } = call;
    const annotate = audit === undefined ? {} : { annotate: (k: string, v: string) => audit.annotate(k, v) };
    await this.#respond(call, kind, { ...base, ...annotate });
  }

  async #respond(call: Call, kind: KindInfo, base: RequestBase): Promise<void> {
    const { req, info, c } = call;
    if (info.type !== 'resource') return;
    // Before decoding, so that nobody learns from an answer what they may not do (403 comes before 400, 404 and 415).
    const selector = isCollection(info.verb) ? (call.query.get('fieldSelector') ?? '') : '';
    await this.#allow(call.audit, this.#o.api.authorize(this.#o.api.target(base), info.verb, selector));
    const isReview = info.verb === 'create' && !kind.verbs.includes('get');
    const form = negotiate(req.headers.accept, !isReview && info.subresource !== 'scale');
    // A body that never ends holds neither its seat nor its request: the time limit is for it too.
    const request = await raceAbort(this.#read(call, info, base), call.c.signal);
    if ('body' in request) call.audit?.body(request.body);
    const result = await this.#o.api.runAuthorized(request, c);
    call.result = result;
    sendWarnings(call);
    await sendResult({ ...call.answer, form: formOf(form, result.type) }, kind, result);
  }

  async #read(call: Call, info: ResourceInfo, base: RequestBase): Promise<ApiRequest> {
    const { req, query } = call;
    const warn = (text: string): void => void call.warnings.add(text);
    switch (info.verb) {
      case 'get':
        return { ...base, verb: 'get', resourceVersion: query.get('resourceVersion') ?? undefined };
      case 'list':
        return { ...base, verb: 'list', query: listQuery(query, info.namespace) };
      case 'create': {
        const report = { validation: fieldValidation(query, 'CreateOptions'), warn };
        const body = (await readObject(req, report)) ?? {};
        return { ...base, verb: 'create', body, options: writeOptions(query, 'CreateOptions') };
      }
      case 'update': {
        const report = { validation: fieldValidation(query, 'UpdateOptions'), warn };
        const body = (await readObject(req, report)) ?? {};
        return { ...base, verb: 'update', body, options: writeOptions(query, 'UpdateOptions') };
      }
      case 'patch': {
        const options = writeOptions(query, 'PatchOptions');
        const report = { validation: options.fieldValidation ?? 'Warn', warn };
        return { ...base, verb: 'patch', ...(await readPatch(req, report)), options };
      }
      case 'delete':
      case 'deletecollection': {
        const options = deleteOptions(query, await readObject(req, { validation: 'Ignore', warn }));
        if (info.verb === 'delete') return { ...base, verb: 'delete', options };
        return { ...base, verb: 'deletecollection', options, query: listQuery(query, info.namespace) };
      }
      case 'watch':
        throw new StatusError('Internal', 'a watch is not read as a request');
    }
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

  #base(req: IncomingMessage, info: ResourceInfo, user: UserInfo, warn?: (text: string) => void): RequestBase {
    const kind = this.#kindOf(info);
    if (kind === undefined) throw pathNotFound();
    return {
      user,
      kind,
      namespace: info.namespace,
      name: info.name,
      subresource: info.subresource,
      userAgent: req.headers['user-agent'],
      ...(warn === undefined ? {} : { warn }),
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
  return req.headersDistinct['audit-id']?.[0];
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

function timeout(): StatusError {
  const message = 'Timeout: request did not complete within the allotted timeout';
  return new StatusError('DeadlineExceeded', message);
}
