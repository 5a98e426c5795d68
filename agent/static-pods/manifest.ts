/**
 * One manifest file -> the static pod of this node, or what is wrong with it. Named, defaulted and checked as the kubelet
 * does; its uid is a hash of what the file says, so a changed file is another pod.
 * Source: kubernetes pkg/kubelet/config/common.go (applyDefaults, tryDecodeSinglePod), config/config.go (annotations).
 */
import {
  applyDefaults,
  type DeepReadonly,
  decodeObject,
  errorBody,
  isValueWithinDepth,
  JSON_DEPTH_MAX,
  Kinds,
  type Pod,
  prepareCreate,
  readYaml,
  type Toleration,
  validateCreate,
} from '#lib/api';
import { hexOf, messageOf, StatusError, sha256, timeText } from '#lib/base';
import { apiReferenceOf } from './references.ts';

export const CONFIG_HASH = 'kubernetes.io/config.hash';
export const CONFIG_SOURCE = 'kubernetes.io/config.source';
export const CONFIG_SEEN = 'kubernetes.io/config.seen';
export const CONFIG_MIRROR = 'kubernetes.io/config.mirror';

/** Of a uid that the file itself gives: it names folders. */
const UID = /^[A-Za-z0-9][A-Za-z0-9-]{0,62}$/;
const UID_HEX = 32;

export interface Manifest {
  readonly pod: DeepReadonly<Pod>;
  /** Fields that there are none of, which are left out. */
  readonly unknown: readonly string[];
}

/** Throws Invalid with the field and what is wrong with it; the path is not part of the message. */
export async function parseManifest(
  text: string,
  o: { readonly path: string; readonly nodeName: string; readonly nowMs: number },
): Promise<Manifest> {
  const { object, unknown } = await decode(text);
  const pod = object as Pod;
  if ((pod.metadata?.name ?? '') === '') throw invalid('invalid pod: name is needed for the pod');
  const given = pod.metadata.uid ?? '';
  if (given !== '' && !UID.test(given))
    throw invalid(`invalid pod: metadata.uid: Invalid value: ${JSON.stringify(given)}`);
  const uid = given === '' ? uidOf(pod, o) : given;
  const { name, namespace, labels, annotations } = pod.metadata;
  pod.metadata = {
    name: `${name}-${o.nodeName.toLowerCase()}`,
    namespace: (namespace ?? '') === '' ? 'default' : namespace,
    uid,
    ...(labels === undefined ? {} : { labels }),
    annotations: {
      ...annotations,
      [CONFIG_HASH]: uid,
      [CONFIG_SEEN]: timeText(o.nowMs),
      [CONFIG_SOURCE]: 'file',
    },
  };
  delete pod.metadata.annotations?.[CONFIG_MIRROR];
  if (pod.spec === undefined) throw invalid('invalid pod: spec: Required value');
  pod.spec.nodeName = o.nodeName;
  pod.spec.tolerations = [...(pod.spec.tolerations ?? []).filter(isOther), { operator: 'Exists', effect: 'NoExecute' }];
  applyDefaults(Kinds.pods, pod);
  prepareCreate(Kinds.pods, pod);
  const errors = validateCreate(Kinds.pods, pod);
  if (errors.length > 0) throw invalid(`invalid pod: ${errors.map((e) => `${e.field}: ${errorBody(e)}`).join(', ')}`);
  const reference = apiReferenceOf(pod);
  if (reference !== undefined) throw invalid(`static pods may not reference ${reference}`);
  return { pod, unknown };
}

async function decode(text: string): Promise<ReturnType<typeof decodeObject>> {
  try {
    const [first, second] = await readYaml(text);
    if (second !== undefined) throw invalid('a manifest holds one pod, and this one holds several documents');
    if (first?.mistake !== undefined) throw first.mistake;
    const value = first?.value;
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid('it is no object');
    if (!isValueWithinDepth(value, JSON_DEPTH_MAX)) throw invalid('it is nested too deeply');
    for (const field of ['apiVersion', 'kind']) if (!(field in value)) throw invalid(`Object '${field}' is missing`);
    return decodeObject(Kinds.pods, value);
  } catch (e) {
    throw new StatusError('Invalid', `couldn't parse as pod(${messageOf(e)}), please check config file`, { cause: e });
  }
}

function uidOf(pod: Pod, o: { path: string; nodeName: string }): string {
  return hexOf(sha256(`${JSON.stringify(pod)}\nhost:${o.nodeName}\nfile:${o.path}`)).slice(0, UID_HEX);
}

function isOther(t: DeepReadonly<Toleration>): boolean {
  return !((t.key ?? '') === '' && t.operator === 'Exists' && t.effect === 'NoExecute');
}

function invalid(message: string): StatusError {
  return new StatusError('Invalid', message);
}
