/**
 * The API behind every transport: authorizes, finds the handler by verb and subresource, and gives results in the version
 * that was asked for.
 */

import { type FieldRequirement, fieldRequirements, type KindInfo, type KubeObject } from '#lib/api';
import { type Ctx, isKind } from '#lib/base';
import type { ApiRequest, ApiResult, RequestBase, RequestHandler, WatchEvent, WatchQuery } from '#lib/client';
import { methodNotAllowed, pathNotFound } from './api-errors.ts';
import { attributesOf, requireAllowed } from './authz/require.ts';
import { cachedFromStored, fromStored, isConverted } from './conversion.ts';
import type { Core, CoreResult, Target } from './core.ts';
import { warnOfDeprecation } from './custom/warnings.ts';
import { create, requireNoName } from './handlers/create.ts';
import { deleteObject } from './handlers/delete.ts';
import { deleteCollection } from './handlers/deletecollection.ts';
import { get } from './handlers/get.ts';
import { list } from './handlers/list.ts';
import { patch } from './handlers/patch.ts';
import { subresourceHandlers } from './handlers/subresources.ts';
import { update } from './handlers/update.ts';
import { virtualCreate } from './handlers/virtual.ts';
import { openWatch, type WatchItem } from './handlers/watch.ts';
import { WatchEvents } from './watch-events.ts';

export class Api implements RequestHandler {
  readonly core: Core;

  constructor(core: Core) {
    this.core = core;
  }

  async handle(request: ApiRequest, c: Ctx): Promise<ApiResult> {
    const result = await this.run(request, c);
    if (result.type !== 'list') return result;
    const { items, resourceVersion, remainingItemCount } = result;
    const list = {
      items: items.map((i) => i.object),
      resourceVersion,
      ...(result.continue === undefined ? {} : { continue: result.continue }),
      ...(remainingItemCount === undefined ? {} : { remainingItemCount }),
    };
    return { type: 'list', list };
  }

  watch(request: RequestBase & { readonly query: WatchQuery }, c: Ctx): AsyncIterable<WatchEvent<KubeObject>> {
    return new WatchEvents(() => this.openWatch(request, c));
  }

  /** Authorized, with what a transport needs to send stored bytes. */
  async run(request: ApiRequest, c: Ctx): Promise<CoreResult> {
    const target = this.target(request);
    const selector = 'query' in request ? request.query.fieldSelector : undefined;
    await this.authorize(target, request.verb, selector);
    warnOfDeprecation(target);
    return await this.#answered(target, await dispatch(this.core, target, c), c);
  }

  /** For a front that has called `authorize` before it read the body. */
  async runAuthorized(request: ApiRequest, c: Ctx): Promise<CoreResult> {
    const target = this.target(request);
    warnOfDeprecation(target);
    return await this.#answered(target, await dispatch(this.core, target, c), c);
  }

  async openWatch(request: RequestBase & { readonly query: WatchQuery }, c: Ctx): Promise<AsyncIterable<WatchItem>> {
    const target = this.target(request);
    await this.authorize(target, 'watch', request.query.fieldSelector);
    warnOfDeprecation(target);
    const items = await openWatch(this.core, target, c);
    if (target.info.custom !== undefined) return this.core.versions.watch(target.info, items, c);
    return isConverted(target.info, target.stored) ? convertedWatch(target, items) : items;
  }

  target<R extends RequestBase>(request: R): Target<R> {
    const info = this.core.kinds.info(request.kind);
    const stored = info.custom === undefined ? (this.core.kinds.of(info) ?? info) : info;
    return { ...request, info, stored };
  }

  async #answered(target: Target, result: CoreResult, c: Ctx): Promise<CoreResult> {
    if (target.info.custom === undefined) return converted(target, result);
    return await this.core.versions.answer(target.info, result, c);
  }

  /** `fieldSelector` as asked: a list of one name is authorized as of that name (requestinfo.go). */
  async authorize(target: Target, verb: string, fieldSelector = ''): Promise<void> {
    const requirements = requirementsOf(fieldSelector);
    const only = requirements?.find((r) => r.path === 'metadata.name' && r.op === '=')?.value;
    const attributes = { ...attributesOf(target, verb, target.name ?? only ?? ''), fieldSelector: requirements };
    await requireAllowed(this.core.authorizer, attributes);
  }
}

/** undefined when there is none, or none that can be understood: refused by its handler later. */
function requirementsOf(fieldSelector: string): readonly FieldRequirement[] | undefined {
  if (fieldSelector === '') return undefined;
  try {
    return fieldRequirements(fieldSelector);
  } catch (e) {
    if (isKind(e, 'BadRequest')) return undefined;
    throw e;
  }
}

async function dispatch(core: Core, target: Target<ApiRequest>, c: Ctx): Promise<CoreResult> {
  if (target.subresource !== undefined && target.subresource !== '') return await subresource(core, target, c);
  if (!allows(target.info, target.verb)) throw methodNotAllowed(target.info, target.verb);
  switch (target.verb) {
    case 'get':
      return await get(core, target, c);
    case 'list':
      return await list(core, target, c);
    case 'create':
      requireNoName(target.name);
      return (await virtualCreate(core, target, c)) ?? (await create(core, target, c));
    case 'update':
      return await update(core, target, c);
    case 'patch':
      return await patch(core, target, c);
    case 'delete':
      return await deleteObject(core, target, c);
    case 'deletecollection':
      return await deleteCollection(core, target, c);
  }
}

async function subresource(core: Core, target: Target<ApiRequest>, c: Ctx): Promise<CoreResult> {
  const handlers = subresourceHandlers(target);
  if (handlers === undefined) throw pathNotFound();
  // Made when it is thrown: an error takes its stack with it, which costs as much as a small write.
  const refused = (): Error => methodNotAllowed(target.info, target.verb);
  switch (target.verb) {
    case 'get':
      if (handlers.get === undefined) throw refused();
      return await handlers.get(core, target, c);
    case 'create':
      if (handlers.create === undefined) throw refused();
      return await handlers.create(core, target, c);
    case 'update':
      if (handlers.update === undefined) throw refused();
      return await handlers.update(core, target, c);
    case 'patch':
      if (handlers.patch === undefined) throw refused();
      return await handlers.patch(core, target, c);
    default:
      throw refused();
  }
}

/** The result in the version that was asked for; subresources of another kind are never converted. */
function converted(target: Target, result: CoreResult): CoreResult {
  const { info, stored } = target;
  if (!isConverted(info, stored)) return result;
  if (result.type === 'list') return { ...result, items: result.items.map((i) => cachedFromStored(info, stored, i)) };
  if (result.type !== 'object' || result.object.kind !== stored.kind) return result;
  if (result.cached === undefined) return { ...result, object: fromStored(info, stored, result.object) };
  const cached = cachedFromStored(info, stored, result.cached);
  return { ...result, cached, object: cached.object };
}

async function* convertedWatch({ info, stored }: Target, items: AsyncIterable<WatchItem>): AsyncIterable<WatchItem> {
  for await (const item of items) {
    if (item.type !== 'events') yield item;
    else {
      const events = item.events.map((e) => ({
        type: e.type,
        cached: cachedFromStored(info, stored, e.cached),
        event: undefined,
      }));
      yield { type: 'events', events };
    }
  }
}

function allows(kind: KindInfo, verb: string): boolean {
  return kind.verbs.includes(verb);
}
