/**
 * The environment of a container: service variables, envFrom, env (later wins), $(VAR) expansion, downward API.
 * Pure. Source: kubernetes pkg/kubelet/kubelet_pods.go (makeEnvironmentVariables), third_party/forked/golang/expansion.
 */
import type { ConfigMap, DeepReadonly, EnvVar, Secret, Service } from '#lib/api';
import { StatusError } from '#lib/base';
import type { ContainerSpec, PodObject } from './model.ts';
import { containerResource } from './resources.ts';

export interface EnvSources {
  configMap(name: string): DeepReadonly<ConfigMap> | undefined;
  secret(name: string): DeepReadonly<Secret> | undefined;
  /** Of variables by fileKeyRef, by their names; absent = there is none, and it is optional. */
  readonly fileValues: ReadonlyMap<string, string>;
  /** Services of the pod's namespace, and default/kubernetes. */
  readonly services: readonly DeepReadonly<Service>[];
  readonly podIp: string;
  readonly hostIp: string;
  readonly nodeName: string;
  readonly allocatable: Readonly<Record<string, string>>;
}

/** Throws Invalid with the API's message for a missing required key (CreateContainerConfigError). */
export function environmentOf(pod: PodObject, container: ContainerSpec, from: EnvSources): Map<string, string> {
  const out = new Map<string, string>();
  for (const s of from.services) {
    const isKubernetes = s.metadata.name === 'kubernetes' && s.metadata.namespace === 'default';
    if (pod.spec.enableServiceLinks === false && !isKubernetes) continue;
    if (s.metadata.namespace !== pod.metadata.namespace && !isKubernetes) continue;
    for (const [k, v] of serviceVariables(s)) out.set(k, v);
  }
  for (const source of container.envFrom ?? []) addAll(out, source, from);
  for (const variable of container.env ?? []) {
    const value = variableValue(variable, pod, container, from, out);
    if (value !== undefined) out.set(variable.name, value);
  }
  return out;
}

/** `$(NAME)` by the map, `$$` is a plain `$`, an unknown name stays as it is. */
export function expand(text: string, env: ReadonlyMap<string, string>): string {
  return text.replace(/\$\$|\$\(([^()]*)\)/g, (whole, name: string | undefined) => {
    if (whole === '$$') return '$';
    return name === undefined ? whole : (env.get(name) ?? whole);
  });
}

/** As `expand`, for a path: throws Invalid where a name is unknown or empty. Source: pkg/kubelet/container/helpers.go. */
export function expandSubPath(text: string, env: ReadonlyMap<string, string>): string {
  const names = [...text.matchAll(/\$\$|\$\(([^()]*)\)/g)].flatMap((m) => m[1] ?? []);
  const missing = [...new Set(names.filter((name) => (env.get(name) ?? '') === ''))].sort();
  if (missing.length > 0) throw new StatusError('Invalid', `missing value for ${missing.join(', ')}`);
  return expand(text, env);
}

function serviceVariables(s: DeepReadonly<Service>): [string, string][] {
  const ip = s.spec.clusterIP;
  const ports = s.spec.ports ?? [];
  const first = ports[0];
  if (ip === undefined || ip === '' || ip === 'None' || first === undefined) return [];
  const prefix = variableName(s.metadata.name);
  const out: [string, string][] = [
    [`${prefix}_SERVICE_HOST`, ip],
    [`${prefix}_SERVICE_PORT`, String(first.port)],
  ];
  for (const p of ports) if (p.name) out.push([`${prefix}_SERVICE_PORT_${variableName(p.name)}`, String(p.port)]);
  const url = (p: (typeof ports)[number]): string => `${(p.protocol ?? 'TCP').toLowerCase()}://${ip}:${p.port}`;
  out.push([`${prefix}_PORT`, url(first)]);
  for (const p of ports) {
    const base = `${prefix}_PORT_${p.port}_${p.protocol ?? 'TCP'}`;
    out.push(
      [base, url(p)],
      [`${base}_PROTO`, (p.protocol ?? 'TCP').toLowerCase()],
      [`${base}_PORT`, String(p.port)],
      [`${base}_ADDR`, ip],
    );
  }
  return out;
}

function variableName(name: string): string {
  return name.toUpperCase().replaceAll('-', '_').replaceAll('.', '_');
}

function addAll(
  out: Map<string, string>,
  source: NonNullable<ContainerSpec['envFrom']>[number],
  from: EnvSources,
): void {
  const prefix = source.prefix ?? '';
  const kind = source.configMapRef !== undefined ? 'configmap' : 'secret';
  const refOf = source.configMapRef ?? source.secretRef;
  if (refOf === undefined) return;
  const data = kind === 'configmap' ? from.configMap(refOf.name ?? '')?.data : decodeAll(from.secret(refOf.name ?? ''));
  const found = kind === 'configmap' ? from.configMap(refOf.name ?? '') : from.secret(refOf.name ?? '');
  if (found === undefined) {
    if (refOf.optional) return;
    throw new StatusError('Invalid', `${kind} "${refOf.name}" not found`);
  }
  for (const [k, v] of Object.entries(data ?? {}))
    if (/^[\x20-\x3c\x3e-\x7e]+$/.test(prefix + k)) out.set(prefix + k, v);
}

function variableValue(
  v: DeepReadonly<EnvVar>,
  pod: PodObject,
  container: ContainerSpec,
  from: EnvSources,
  before: ReadonlyMap<string, string>,
): string | undefined {
  const source = v.valueFrom;
  if (source === undefined) return expand(v.value ?? '', before);
  if (source.fieldRef !== undefined) return fieldValue(pod, source.fieldRef.fieldPath, from);
  if (source.resourceFieldRef !== undefined)
    return containerResource(pod, container, source.resourceFieldRef, from.allocatable);
  if (source.fileKeyRef !== undefined) return from.fileValues.get(v.name);
  const key = source.configMapKeyRef ?? source.secretKeyRef;
  if (key === undefined) return '';
  const kind = source.configMapKeyRef !== undefined ? 'configmap' : 'secret';
  const object = kind === 'configmap' ? from.configMap(key.name ?? '') : from.secret(key.name ?? '');
  if (object === undefined) {
    if (key.optional) return undefined;
    throw new StatusError('Invalid', `${kind} "${key.name}" not found`);
  }
  const raw = object.data?.[key.key];
  if (raw === undefined) {
    if (key.optional) return undefined;
    const where = `${kind === 'configmap' ? 'ConfigMap' : 'Secret'} ${pod.metadata.namespace}/${key.name}`;
    throw new StatusError('Invalid', `couldn't find key ${key.key} in ${where}`);
  }
  return kind === 'secret' ? Buffer.from(raw, 'base64').toString('utf8') : raw;
}

/** A downward API field. Throws Invalid for a path this node does not know. */
export function fieldValue(
  pod: PodObject,
  path: string,
  from: Pick<EnvSources, 'podIp' | 'hostIp' | 'nodeName'>,
): string {
  const keyed = /^metadata\.(labels|annotations)\['([^']+)'\]$/.exec(path);
  if (keyed) return (keyed[1] === 'labels' ? pod.metadata.labels : pod.metadata.annotations)?.[keyed[2] ?? ''] ?? '';
  switch (path) {
    case 'metadata.name':
      return pod.metadata.name;
    case 'metadata.namespace':
      return pod.metadata.namespace ?? '';
    case 'metadata.uid':
      return pod.metadata.uid ?? '';
    case 'spec.nodeName':
      return from.nodeName;
    case 'spec.serviceAccountName':
      return pod.spec.serviceAccountName ?? 'default';
    case 'status.hostIP':
    case 'status.hostIPs':
      return from.hostIp;
    case 'status.podIP':
    case 'status.podIPs':
      return from.podIp;
    default:
      throw new StatusError('Invalid', `unsupported fieldPath: ${path}`);
  }
}

function decodeAll(s: DeepReadonly<Secret> | undefined): Record<string, string> | undefined {
  if (s?.data === undefined) return undefined;
  return Object.fromEntries(Object.entries(s.data).map(([k, v]) => [k, Buffer.from(v, 'base64').toString('utf8')]));
}
