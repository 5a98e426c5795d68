/** Admission of what is no write of the resource's own kind: bodies of subresources, connections. */
import type { KubeObject } from '#lib/api';
import type { Ctx } from '#lib/base';
import type { WriteOptions } from '#lib/client';
import type { Core, Target } from '../core.ts';
import type { AdmissionRequest, BodyKind } from './chain.ts';

/** POST of a subresource (a Binding, an Eviction): `body` is changed in place. */
export async function admitBody(
  core: Core,
  request: Target & { readonly options: WriteOptions },
  o: { readonly body: KubeObject; readonly kind: BodyKind; readonly dryRun: boolean },
  c: Ctx,
): Promise<void> {
  await admitted(
    core,
    { ...common(request, o.body, o.kind), operation: 'CREATE', options: request.options, dryRun: o.dryRun },
    c,
  );
}

/** A connection (exec, attach, port-forward, proxy), before anything is connected: `options` are what was asked for it. */
export async function admitConnect(
  core: Core,
  request: Target,
  o: { readonly kind: string; readonly options: object },
  c: Ctx,
): Promise<void> {
  const kind = { group: '', version: 'v1', kind: o.kind };
  // Without metadata: a connection has no name of its own.
  const object = { kind: o.kind, apiVersion: 'v1', ...o.options } as unknown as KubeObject;
  await admitted(core, { ...common(request, object, kind), operation: 'CONNECT', dryRun: false }, c);
}

async function admitted(core: Core, admission: AdmissionRequest, c: Ctx): Promise<void> {
  await core.admission.admit(admission, c);
  await core.admission.validate(admission, c);
}

function common(
  request: Target,
  object: KubeObject,
  bodyKind: BodyKind,
): Omit<AdmissionRequest, 'operation' | 'dryRun'> {
  const { info, stored, subresource = '', namespace, name = '', user, annotate } = request;
  const warn = request.warn ?? (() => undefined);
  return {
    kind: stored,
    requested: info,
    bodyKind,
    subresource,
    namespace,
    name,
    user,
    object,
    previous: undefined,
    warn,
    annotate,
  };
}
