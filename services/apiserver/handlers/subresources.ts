/**
 * The subresources that are written or read as objects: `status` is the object itself, all others have a handler here by
 * `resource/subresource`. Streams (log, exec, attach, portforward, proxy) belong to the HTTP front.
 */
import type { Ctx } from '#lib/base';
import type { WriteOptions } from '#lib/client';
import type { Core, CoreResult, Target, TargetOf } from '../core.ts';
import { createBinding } from './binding.ts';
import { createEviction } from './eviction.ts';
import { updateFinalize } from './finalize.ts';
import { get } from './get.ts';
import { patch } from './patch.ts';
import { getScale, patchScale, updateScale } from './scale.ts';
import { createToken } from './token-request.ts';
import { update } from './update.ts';

export type BodyRequest = Target & { readonly body: unknown; readonly options: WriteOptions };

export interface SubresourceHandlers {
  get?(core: Core, request: TargetOf<'get'>, c: Ctx): Promise<CoreResult>;
  create?(core: Core, request: BodyRequest, c: Ctx): Promise<CoreResult>;
  update?(core: Core, request: BodyRequest, c: Ctx): Promise<CoreResult>;
  patch?(core: Core, request: TargetOf<'patch'>, c: Ctx): Promise<CoreResult>;
}

/** A view of the object that is read and written as the object, with rules of its own in lib/api's strategies. */
const VIEW: SubresourceHandlers = { get, update, patch };
const SCALE: SubresourceHandlers = { get: getScale, update: updateScale, patch: patchScale };

const HANDLERS: Readonly<Record<string, SubresourceHandlers>> = {
  'pods/binding': { create: createBinding },
  'pods/eviction': { create: createEviction },
  'pods/ephemeralcontainers': VIEW,
  'pods/resize': VIEW,
  'serviceaccounts/token': { create: createToken },
  'namespaces/finalize': { update: updateFinalize },
  'certificatesigningrequests/approval': VIEW,
};

export function subresourceHandlers(request: Target): SubresourceHandlers | undefined {
  const { subresource = '', info } = request;
  if (!info.subresources.some((s) => s.name === subresource)) return undefined;
  if (subresource === 'status') return VIEW;
  if (subresource === 'scale') return SCALE;
  return HANDLERS[`${info.resource}/${subresource}`];
}
