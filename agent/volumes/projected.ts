/**
 * projected volumes: several sources in one folder (pkg/volume/projected). A later source wins a path that two write. All
 * sources are tried before an error is told, so that the event names everything that is missing.
 */
import type { DeepReadonly, Pod, ProjectedVolumeSource, VolumeProjection } from '#lib/api';
import type { Ctx } from '#lib/base';
import { messageOf, StatusError, toStatusError } from '#lib/base';
import { configMapPayload } from './configmap.ts';
import { downwardPayload } from './downwardapi.ts';
import type { Payload, PayloadFile } from './payload.ts';
import { checkedPath } from './payload.ts';
import { secretPayload } from './secret.ts';
import type { TokenCache } from './tokens.ts';
import type { VolumeSources } from './volume.ts';

export interface ProjectionDeps {
  readonly pod: DeepReadonly<Pod>;
  readonly volumeName: string;
  readonly sources: VolumeSources;
  readonly tokens: TokenCache;
}

export async function projectedPayload(
  source: DeepReadonly<ProjectedVolumeSource>,
  d: ProjectionDeps,
  c: Ctx,
): Promise<Payload> {
  const out = new Map<string, PayloadFile>();
  const errors: StatusError[] = [];
  for (const projection of source.sources ?? []) {
    try {
      for (const [path, file] of await onePayload(projection, source.defaultMode ?? 0o644, d, c)) out.set(path, file);
    } catch (e) {
      c.signal.throwIfAborted();
      errors.push(toStatusError(e));
    }
  }
  const [first] = errors;
  if (first === undefined) return out;
  if (errors.length === 1) throw first;
  throw new StatusError(first.kind, `[${errors.map(messageOf).join(', ')}]`);
}

async function onePayload(
  p: DeepReadonly<VolumeProjection>,
  defaultMode: number,
  d: ProjectionDeps,
  c: Ctx,
): Promise<Payload> {
  const namespace = d.pod.metadata.namespace ?? '';
  if (p.configMap !== undefined)
    return configMapPayload(p.configMap, d.sources.configMap(namespace, p.configMap.name ?? ''), defaultMode);
  if (p.secret !== undefined)
    return secretPayload(p.secret, d.sources.secret(namespace, p.secret.name ?? ''), defaultMode);
  if (p.downwardAPI !== undefined)
    return downwardPayload(d.pod, p.downwardAPI.items ?? [], { defaultMode, allocatable: d.sources.nodeAllocatable() });
  if (p.serviceAccountToken !== undefined) {
    const token = await d.tokens.get({ ...d, projection: p.serviceAccountToken }, c);
    const owner = commonUser(d.pod);
    const isPrivate = owner !== undefined || d.pod.spec?.securityContext?.fsGroup !== undefined;
    const file = { data: Buffer.from(token), mode: isPrivate ? 0o600 : defaultMode, uid: owner };
    return new Map([[checkedPath(p.serviceAccountToken.path), file]]);
  }
  throw new StatusError('Unimplemented', `projected source ${Object.keys(p).join(', ')} is not supported`);
}

/** The user that every container of the pod runs as, if they all say the same: the token is readable for it alone. */
function commonUser(pod: DeepReadonly<Pod>): number | undefined {
  const shared = pod.spec?.securityContext?.runAsUser;
  const users = new Set(
    [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])].map(
      (container) => container.securityContext?.runAsUser ?? shared,
    ),
  );
  const [user] = users;
  return users.size === 1 ? user : undefined;
}
