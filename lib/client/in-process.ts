/**
 * The in-process transport: a `Client` over the API server's `RequestHandler`, as one fixed user. Authorization, admission
 * and validation run as for any caller; nothing is encoded. Results are the server's cached objects: never mutate them.
 */
import { apiVersionOf, type DeepReadonly, type KindRef, type KubeObject, type ObjectKey } from '#lib/api';
import { type Ctx, StatusError } from '#lib/base';
import type {
  Client,
  DeleteOptions,
  ListQuery,
  ObjectList,
  PatchType,
  WatchEvent,
  WatchQuery,
  WriteOptions,
} from './client.ts';
import type { ApiResult, RequestBase, RequestHandler, UserInfo, WriteFence } from './handler.ts';

export interface InProcessOptions {
  readonly handler: RequestHandler;
  readonly user: UserInfo;
  /** For managedFields; default the user's name without `system:`. */
  readonly userAgent?: string | undefined;
  /** Asked before every write: a leader's fence, so that a deposed leader cannot write. */
  readonly fence?: (() => WriteFence | undefined) | undefined;
}

export class InProcessClient implements Client {
  readonly #handler: RequestHandler;
  readonly #user: UserInfo;
  readonly #userAgent: string;
  readonly #fence: () => WriteFence | undefined;

  constructor(o: InProcessOptions) {
    this.#handler = o.handler;
    this.#user = o.user;
    this.#userAgent = o.userAgent ?? o.user.name.replace(/^system:/, '');
    this.#fence = o.fence ?? (() => undefined);
  }

  async get<T extends KubeObject>(
    kind: KindRef<T>,
    key: ObjectKey,
    c: Ctx,
    o: { subresource?: string } = {},
  ): Promise<DeepReadonly<T>> {
    return objectOf<T>(
      await this.#handler.handle({ ...this.#base(kind, key.namespace, key.name, o.subresource), verb: 'get' }, c),
    );
  }

  async list<T extends KubeObject>(kind: KindRef<T>, q: ListQuery, c: Ctx): Promise<ObjectList<T>> {
    const result = await this.#handler.handle({ ...this.#base(kind, q.namespace ?? ''), verb: 'list', query: q }, c);
    if (result.type !== 'list') throw unexpected(result);
    return result.list as ObjectList<T>;
  }

  watch<T extends KubeObject>(kind: KindRef<T>, q: WatchQuery, c: Ctx): AsyncIterable<WatchEvent<T>> {
    const events = this.#handler.watch({ ...this.#base(kind, q.namespace ?? ''), query: q }, c);
    return events as AsyncIterable<WatchEvent<T>>;
  }

  async create<T extends KubeObject>(
    kind: KindRef<T>,
    object: Omit<T, 'apiVersion' | 'kind'>,
    c: Ctx,
    o: WriteOptions = {},
  ): Promise<DeepReadonly<T>> {
    const { namespace = '', name } = (object as Pick<KubeObject, 'metadata'>).metadata;
    const body = { apiVersion: apiVersionOf(kind), kind: kind.kind, ...object };
    const base =
      o.subresource === undefined
        ? this.#base(kind, namespace)
        : this.#base(kind, namespace, name === '' ? undefined : name, o.subresource);
    return objectOf<T>(await this.#handler.handle({ ...this.#write(base), verb: 'create', body, options: o }, c));
  }

  async createSub(
    kind: KindRef,
    key: ObjectKey,
    subresource: string,
    body: object,
    c: Ctx,
    o: WriteOptions = {},
  ): Promise<unknown> {
    const base = this.#write(this.#base(kind, key.namespace, key.name, subresource));
    const result = await this.#handler.handle({ ...base, verb: 'create', body, options: o }, c);
    return result.type === 'status' ? result.status : objectOf(result);
  }

  async update<T extends KubeObject>(
    kind: KindRef<T>,
    object: DeepReadonly<T>,
    c: Ctx,
    o: WriteOptions = {},
  ): Promise<DeepReadonly<T>> {
    const { namespace = '', name } = (object as DeepReadonly<KubeObject>).metadata;
    const base = this.#write(this.#base(kind, namespace, name, o.subresource));
    return objectOf<T>(await this.#handler.handle({ ...base, verb: 'update', body: object, options: o }, c));
  }

  async patch<T extends KubeObject>(
    kind: KindRef<T>,
    key: ObjectKey,
    patch: { type: PatchType; body: unknown },
    c: Ctx,
    o: WriteOptions = {},
  ): Promise<DeepReadonly<T>> {
    const base = this.#write(this.#base(kind, key.namespace, key.name, o.subresource));
    const request = { ...base, verb: 'patch', patchType: patch.type, body: patch.body, options: o } as const;
    return objectOf<T>(await this.#handler.handle(request, c));
  }

  async delete(kind: KindRef, key: ObjectKey, o: DeleteOptions, c: Ctx): Promise<void> {
    const base = this.#write(this.#base(kind, key.namespace, key.name));
    await this.#handler.handle({ ...base, verb: 'delete', options: o }, c);
  }

  #base(kind: KindRef, namespace: string, name?: string, subresource?: string): RequestBase {
    return { user: this.#user, userAgent: this.#userAgent, kind, namespace, name, subresource };
  }

  #write(base: RequestBase): RequestBase {
    const fence = this.#fence();
    return fence === undefined ? base : { ...base, fence };
  }
}

function objectOf<T extends KubeObject>(result: ApiResult): DeepReadonly<T> {
  if (result.type !== 'object') throw unexpected(result);
  return result.object as DeepReadonly<T>;
}

function unexpected(result: ApiResult): StatusError {
  return new StatusError('Internal', `unexpected answer of type ${result.type}`);
}
