/**
 * Objects of any kind over a kubeconfig of @kubernetes/client-node, as a dynamic client has them: bodies go and come as they
 * stand (the typed client leaves out of a patch what its classes do not know, `$setElementOrder/...` for one), the path of a kind
 * is found by discovery.
 */
import type { IncomingMessage } from 'node:http';
import { type RequestOptions, request } from 'node:https';
import { json } from 'node:stream/consumers';
import type * as k8s from '@kubernetes/client-node';

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly resourceVersion?: string;
    readonly uid?: string;
    readonly generation?: number;
  };
  readonly [field: string]: unknown;
}

export type PatchKind = 'strategic-merge-patch' | 'merge-patch' | 'json-patch' | 'apply-patch';

/** What is said of an object when it is asked for. */
export type Named = Pick<Manifest, 'apiVersion' | 'kind'> & { readonly metadata: { readonly name: string } };

export class ApiError extends Error {
  readonly code: number;
  readonly reason: string;

  constructor(code: number, status: { reason?: string; message?: string }) {
    super(status.message ?? `HTTP ${code}`);
    this.code = code;
    this.reason = status.reason ?? '';
  }
}

interface Resource {
  readonly path: string;
  readonly namespaced: boolean;
}

export class DynamicClient {
  readonly #server: string;
  readonly #options: RequestOptions;
  readonly #namespace: string;
  readonly #resources = new Map<string, Resource>();

  private constructor(server: string, options: RequestOptions, namespace: string) {
    this.#server = server;
    this.#options = options;
    this.#namespace = namespace;
  }

  /** `namespace`: of namespaced objects that name none. */
  static async open(config: k8s.KubeConfig, namespace: string): Promise<DynamicClient> {
    const options: RequestOptions = {};
    await config.applyToHTTPSOptions(options);
    return new DynamicClient(config.getCurrentCluster()?.server ?? '', options, namespace);
  }

  async create(o: Manifest): Promise<Manifest> {
    return this.#send<Manifest>('POST', await this.#path(o, false), { body: o });
  }

  /** Undefined where there is none, or no such kind. */
  async find(o: Named): Promise<Manifest | undefined> {
    try {
      return await this.#send<Manifest>('GET', await this.#path(o, true), {});
    } catch (e) {
      if (e instanceof ApiError && e.code === 404) return undefined;
      throw e;
    }
  }

  async patch(o: Named, kind: PatchKind, body: unknown): Promise<Manifest> {
    return this.#send<Manifest>('PATCH', await this.#path(o, true), { body, type: `application/${kind}+json` });
  }

  /** In the background, as helm does. False where there was none. */
  async delete(o: Named): Promise<boolean> {
    try {
      await this.#send('DELETE', await this.#path(o, true), { body: { propagationPolicy: 'Background' } });
      return true;
    } catch (e) {
      if (e instanceof ApiError && e.code === 404) return false;
      throw e;
    }
  }

  /** Of the collection, where an informer begins. */
  async collection(o: Pick<Named, 'apiVersion' | 'kind'>): Promise<string> {
    return this.#path({ ...o, metadata: { name: '' } }, false);
  }

  async #path(o: Named & { metadata: { namespace?: string } }, isOne: boolean): Promise<string> {
    const { path, namespaced } = await this.#resource(o.apiVersion, o.kind);
    const base = o.apiVersion.includes('/') ? `/apis/${o.apiVersion}` : `/api/${o.apiVersion}`;
    const scope = namespaced ? `/namespaces/${o.metadata.namespace ?? this.#namespace}` : '';
    return `${base}${scope}/${path}${isOne ? `/${o.metadata.name}` : ''}`;
  }

  /** An answer is kept, that there is no such kind is not: its definition may just have been made. */
  async #resource(apiVersion: string, kind: string): Promise<Resource> {
    const known = this.#resources.get(`${apiVersion} ${kind}`);
    if (known !== undefined) return known;
    const base = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
    const { resources } = await this.#send<k8s.V1APIResourceList>('GET', base, {});
    const found = resources.find((r) => r.kind === kind && !r.name.includes('/'));
    if (found === undefined) throw new ApiError(404, { message: `no matches for kind "${kind}" in "${apiVersion}"` });
    const made = { path: found.name, namespaced: found.namespaced };
    this.#resources.set(`${apiVersion} ${kind}`, made);
    return made;
  }

  async #send<T>(method: string, path: string, o: { body?: unknown; type?: string }): Promise<T> {
    const body = o.body === undefined ? undefined : JSON.stringify(o.body);
    // Node gives a DELETE with a body no length by itself.
    const length =
      body === undefined
        ? {}
        : { 'Content-Type': o.type ?? 'application/json', 'Content-Length': Buffer.byteLength(body) };
    const headers = { Accept: 'application/json', ...length };
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const sent = request(new URL(this.#server + path), { ...this.#options, method, headers }, resolve);
      sent.on('error', reject);
      sent.end(body);
    });
    const code = response.statusCode ?? 0;
    const answer = await json(response).catch(() => ({}));
    if (code >= 400) throw new ApiError(code, answer as { reason?: string; message?: string });
    return answer as T;
  }
}
