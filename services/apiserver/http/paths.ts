/** Paths that are no resources: discovery, OpenAPI, version, health, metrics. */
import type { IncomingMessage } from 'node:http';
import { type Discovery, type OpenApi, SWAGGER_PROTOBUF, SWAGGER_PROTOBUF_ASKED } from '#lib/api';
import { type Ctx, PROMETHEUS_TEXT, StatusError } from '#lib/base';
import type { Health } from '../health.ts';
import type { Metrics } from '../metrics.ts';
import { DISCOVERY_PATH, type Issuer, issuerDocument, JWKS_PATH } from './issuer.ts';
import { negotiate, parseAccept } from './negotiate.ts';
import { type Answer, sendBytes, sendValue } from './respond.ts';

export interface PathCall {
  readonly req: IncomingMessage;
  readonly answer: Answer;
  readonly path: string;
  readonly query: URLSearchParams;
}

export interface PathRoutesOptions {
  /** Asked at each request: what is served elsewhere comes and goes. */
  readonly discovery: () => Discovery;
  readonly openApi: () => OpenApi;
  readonly health: Health;
  readonly metrics: Metrics;
  readonly issuer: Issuer;
  readonly version: object;
}

const YEAR_SECONDS = 31_536_000;

export class PathRoutes {
  readonly #o: PathRoutesOptions;

  constructor(o: PathRoutesOptions) {
    this.#o = o;
  }

  async serve(call: PathCall, c: Ctx): Promise<void> {
    const path = call.path.length > 1 ? call.path.replace(/\/$/, '') : call.path;
    const method = call.req.method ?? 'GET';
    if (method !== 'GET' && method !== 'HEAD') {
      await this.#notFound(call);
      return;
    }
    const [, root = '', ...rest] = path.split('/');
    switch (root) {
      case '':
        await sendValue(call.answer, 200, { paths: this.#paths() });
        return;
      case 'version':
        await sendValue(call.answer, 200, this.#o.version);
        return;
      case 'healthz':
      case 'livez':
      case 'readyz':
        await this.#health(call, root, rest.join('/'), c);
        return;
      case 'metrics':
        await sendBytes(call.answer, 200, Buffer.from(await this.#o.metrics.text()), PROMETHEUS_TEXT);
        return;
      case 'api':
      case 'apis':
        await this.#discover(call, root, rest);
        return;
      case 'openapi':
        await this.#openApi(call, rest);
        return;
      default:
        await this.#issuer(call, path);
    }
  }

  async #issuer(call: PathCall, path: string): Promise<void> {
    const document = issuerDocument(path, this.#o.issuer);
    if (document === undefined) {
      await this.#notFound(call);
      return;
    }
    call.answer.res.setHeader('cache-control', document.cacheControl);
    await sendBytes(call.answer, 200, document.bytes, document.contentType);
  }

  async #discover(call: PathCall, root: 'api' | 'apis', rest: readonly string[]): Promise<void> {
    const discovery = this.#o.discovery();
    if (rest.length === 0) {
      const asked = aggregatedVersion(call.req.headers.accept);
      if (asked !== undefined) {
        const { body, etag } = discovery.aggregated(root, asked);
        const type = `application/json;g=apidiscovery.k8s.io;v=${asked};as=APIGroupDiscoveryList`;
        await this.#tagged(call, { bytes: () => Buffer.from(JSON.stringify(body)), etag, type });
        return;
      }
    }
    const document = root === 'api' ? this.#core(call, rest) : this.#group(rest);
    if (document === undefined) {
      await this.#notFound(call);
      return;
    }
    await sendValue({ ...call.answer, form: negotiate(call.req.headers.accept, false) }, 200, document);
  }

  #core(call: PathCall, rest: readonly string[]): object | undefined {
    const [version, ...more] = rest;
    if (version === undefined) return this.#o.discovery().apiVersions(call.req.headers.host ?? '');
    return more.length > 0 ? undefined : this.#o.discovery().apiResourceList('', version);
  }

  #group(rest: readonly string[]): object | undefined {
    const [group, version, ...more] = rest;
    if (group === undefined) return this.#o.discovery().apiGroupList();
    if (version === undefined) return this.#o.discovery().apiGroup(group);
    return more.length > 0 ? undefined : this.#o.discovery().apiResourceList(group, version);
  }

  async #openApi(call: PathCall, rest: readonly string[]): Promise<void> {
    const [version, ...path] = rest;
    const openApi = this.#o.openApi();
    if (version === 'v2' && path.length === 0) {
      const form = openApiForm(call.req.headers.accept, [SWAGGER_PROTOBUF, SWAGGER_PROTOBUF_ASKED]);
      const v2 = form === 'protobuf' ? openApi.v2Protobuf() : openApi.v2();
      const type = form === 'protobuf' ? SWAGGER_PROTOBUF : 'application/json';
      await this.#tagged(call, { bytes: () => v2.bytes(), etag: `"${v2.hash}"`, type });
      return;
    }
    if (version !== 'v3') {
      await this.#notFound(call);
      return;
    }
    if (path.length === 0) {
      await sendValue(call.answer, 200, openApi.index());
      return;
    }
    openApiForm(call.req.headers.accept, []);
    const name = path.join('/');
    const document = openApi.document(name);
    if (document === undefined) {
      await this.#notFound(call);
      return;
    }
    const asked = call.query.get('hash');
    const { res } = call.answer;
    if (asked !== null && asked !== document.hash) {
      res.writeHead(301, { location: `/openapi/v3/${name}?hash=${document.hash}` });
      res.end();
      return;
    }
    if (asked !== null) res.setHeader('cache-control', `public, immutable, max-age=${YEAR_SECONDS}`);
    await this.#tagged(call, { bytes: () => document.bytes(), etag: `"${document.hash}"`, type: 'application/json' });
  }

  async #tagged(
    call: PathCall,
    o: { bytes: () => Buffer | Promise<Buffer>; etag: string; type: string },
  ): Promise<void> {
    const { res } = call.answer;
    res.setHeader('etag', o.etag);
    res.setHeader('vary', 'Accept');
    if (matchesEtag(call.req.headers['if-none-match'], o.etag)) {
      res.writeHead(304);
      res.end();
      return;
    }
    await sendBytes(call.answer, 200, await o.bytes(), o.type);
  }

  async #health(call: PathCall, kind: 'healthz' | 'livez' | 'readyz', check: string, c: Ctx): Promise<void> {
    const exclude = new Set(call.query.getAll('exclude'));
    const report = await this.#o.health.report(kind, check, exclude, c);
    if (report === undefined) {
      await this.#notFound(call);
      return;
    }
    const isVerbose = call.query.has('verbose') || !report.isHealthy;
    const text = isVerbose ? report.text : 'ok';
    await sendBytes(call.answer, report.isHealthy ? 200 : 500, Buffer.from(text), 'text/plain; charset=utf-8');
  }

  async #notFound(call: PathCall): Promise<void> {
    await sendBytes(call.answer, 404, Buffer.from('404 page not found\n'), 'text/plain; charset=utf-8');
  }

  #paths(): string[] {
    const fixed = [
      DISCOVERY_PATH,
      '/api',
      '/apis',
      '/healthz',
      '/livez',
      '/metrics',
      '/openapi/v2',
      '/openapi/v3',
      JWKS_PATH,
      '/readyz',
      '/version',
    ];
    const groups = this.#o.discovery().apiGroupList() as {
      groups: { name: string; versions: { groupVersion: string }[] }[];
    };
    const versions = groups.groups.flatMap((g) => [
      `/apis/${g.name}`,
      ...g.versions.map((v) => `/apis/${v.groupVersion}`),
    ]);
    return [...fixed, '/api/v1', ...versions].sort();
  }
}

/** The first entry of Accept that can be served decides. Throws NotAcceptable. */
function openApiForm(accept: string | undefined, protobuf: readonly string[]): 'json' | 'protobuf' {
  for (const { type } of parseAccept(accept ?? '*/*')) {
    if (protobuf.includes(type)) return 'protobuf';
    if (['application/json', 'application/*', '*/*', ''].includes(type)) return 'json';
  }
  const types = ['application/json', ...protobuf.slice(0, 1)].join(', ');
  throw new StatusError('NotAcceptable', `only the following media types are accepted: ${types}`);
}

/** If-None-Match: `*`, or a list of tags that are compared weakly (RFC 9110, 13.1.2). */
function matchesEtag(header: string | undefined, etag: string): boolean {
  const tags = (header ?? '').split(',').map((tag) => tag.trim().replace(/^W\//, ''));
  return tags.includes('*') || tags.includes(etag);
}

/** The first entry of Accept decides between the aggregated and the legacy form. */
function aggregatedVersion(accept: string | undefined): 'v2' | 'v2beta1' | undefined {
  for (const { type, parameters } of parseAccept(accept ?? '')) {
    const isAggregated =
      parameters.get('g') === 'apidiscovery.k8s.io' && parameters.get('as') === 'APIGroupDiscoveryList';
    if (type !== 'application/json') continue;
    if (!isAggregated) return undefined;
    const version = parameters.get('v');
    if (version === 'v2' || version === 'v2beta1') return version;
  }
  return undefined;
}
