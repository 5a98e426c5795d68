/** downwardAPI volumes and projections: the pod's own metadata and resources as files (pkg/volume/downwardapi). Pure. */
import { type DeepReadonly, type DownwardAPIVolumeFile, type Pod, semanticEqual } from '#lib/api';
import { StatusError } from '#lib/base';
import { containerResource } from '../pods/resources.ts';
import type { Payload, PayloadFile } from './payload.ts';
import { checkedPath } from './payload.ts';

export function downwardPayload(
  pod: DeepReadonly<Pod>,
  items: readonly DeepReadonly<DownwardAPIVolumeFile>[],
  o: { defaultMode: number; allocatable: Readonly<Record<string, string>> },
): Payload {
  const out = new Map<string, PayloadFile>();
  for (const item of items) {
    const text =
      item.fieldRef !== undefined
        ? fieldText(pod, item.fieldRef.fieldPath)
        : item.resourceFieldRef !== undefined
          ? resourceText(pod, item.resourceFieldRef, o.allocatable)
          : undefined;
    if (text === undefined) continue;
    out.set(checkedPath(item.path), { data: Buffer.from(text), mode: item.mode ?? o.defaultMode });
  }
  return out;
}

/** Whether files of its volumes may say something else of `now` than of `before`. What they tell can change in labels, annotations and amounts. */
export function hasDownwardChange(before: DeepReadonly<Pod>, now: DeepReadonly<Pod>): boolean {
  const tells = (now.spec?.volumes ?? []).some(
    (v) => v.downwardAPI !== undefined || (v.projected?.sources ?? []).some((s) => s.downwardAPI !== undefined),
  );
  if (!tells) return false;
  const [a, b] = [before.metadata, now.metadata];
  const amounts = (pod: DeepReadonly<Pod>): unknown =>
    [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])].map((c) => c.resources ?? {});
  return (
    !semanticEqual(a.labels, b.labels) ||
    !semanticEqual(a.annotations, b.annotations) ||
    !semanticEqual(amounts(before), amounts(now))
  );
}

function resourceText(
  pod: DeepReadonly<Pod>,
  ref: NonNullable<DeepReadonly<DownwardAPIVolumeFile>['resourceFieldRef']>,
  allocatable: Readonly<Record<string, string>>,
): string {
  const containers = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])];
  const container = containers.find((c) => c.name === ref.containerName);
  const spec = pod.spec;
  if (container === undefined || spec === undefined)
    throw new StatusError('Invalid', `container ${ref.containerName ?? ''} not found`);
  return containerResource({ ...pod, spec }, container, ref, allocatable);
}

const QUOTED_KEY = /^metadata\.(labels|annotations)\['(.*)'\]$/;

function fieldText(pod: DeepReadonly<Pod>, path: string): string {
  const { metadata } = pod;
  const keyed = QUOTED_KEY.exec(path);
  if (keyed) {
    const map = keyed[1] === 'labels' ? metadata.labels : metadata.annotations;
    return map?.[keyed[2] ?? ''] ?? '';
  }
  switch (path) {
    case 'metadata.name':
      return metadata.name;
    case 'metadata.namespace':
      return metadata.namespace ?? '';
    case 'metadata.uid':
      return metadata.uid ?? '';
    case 'metadata.labels':
      return mapText(metadata.labels);
    case 'metadata.annotations':
      return mapText(metadata.annotations);
    default:
      throw new StatusError('Invalid', `unsupported fieldPath: ${path}`);
  }
}

/** One `key="value"` a line, sorted, the value quoted as Go's %q does. */
function mapText(map: Readonly<Record<string, string>> | undefined): string {
  return Object.entries(map ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${goQuote(value)}`)
    .join('\n');
}

const GO_ESCAPES: Readonly<Record<string, string>> = {
  '\u0007': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
  '"': '\\"',
  '\\': '\\\\',
};

function goQuote(text: string): string {
  let out = '"';
  for (const char of text) {
    const code = char.codePointAt(0) ?? 0;
    const known = GO_ESCAPES[char];
    if (known !== undefined) out += known;
    else if (code < 0x20 || code === 0x7f) out += `\\x${code.toString(16).padStart(2, '0')}`;
    else out += char;
  }
  return `${out}"`;
}
