/** Label and field selectors of a request as one test on cached objects, and the shortcut when they name one object. */
import { type DeepReadonly, type KubeObject, parseFieldSelector, parseLabelSelector } from '#lib/api';
import type { Cached } from '../cache/cached.ts';
import { fromStored } from '../conversion.ts';
import type { Core, Target } from '../core.ts';

export interface Selection {
  /** undefined = everything. */
  readonly matches: ((cached: Cached) => boolean) | undefined;
  /** metadata.name=X among the requirements. */
  readonly name: string | undefined;
}

export function selectionOf(
  core: Core,
  request: Pick<Target, 'info' | 'stored' | 'namespace' | 'name'>,
  q: { readonly labelSelector?: string | undefined; readonly fieldSelector?: string | undefined },
): Selection {
  const { info, stored } = request;
  const labels = q.labelSelector ? parseLabelSelector(q.labelSelector) : undefined;
  const fields = q.fieldSelector ? parseFieldSelector(request.info, q.fieldSelector) : undefined;
  const tests: ((cached: Cached) => boolean)[] = [];
  if (labels !== undefined && !labels.isEmpty) tests.push((o) => labels.matches(o.object.metadata.labels));
  const read = (o: Cached): DeepReadonly<KubeObject> =>
    info.custom === undefined ? fromStored(info, stored, o.object) : core.versions.readNow(info, o).object;
  if (fields !== undefined && !fields.isEmpty) tests.push((o) => fields.matches(read(o)));
  const byField = fields?.requirements.find((r) => r.path === 'metadata.name' && r.op === '=')?.value;
  const name = request.name ?? byField;
  if (request.name !== undefined) tests.push((o) => o.name === request.name);
  const [first, second] = tests;
  if (first === undefined) return { matches: undefined, name };
  if (second === undefined) return { matches: first, name };
  return { matches: (o) => tests.every((test) => test(o)), name };
}
