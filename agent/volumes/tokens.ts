/**
 * Service account tokens of projected volumes: asked for once, asked for again when 80 % of their life or 24 h are over
 * (pkg/kubelet/token). A token that cannot be renewed is used to its end. In memory only: after a restart of the agent pods
 * simply get fresh ones, once there is a control plane (until then they keep the files they have, see open.ts).
 */
import type { DeepReadonly, Pod, ServiceAccountTokenProjection } from '#lib/api';
import type { Ctx } from '#lib/base';
import type { VolumeSources } from './volume.ts';

const EXPIRATION_SECONDS_DEFAULT = 3600;
const AGE_MS_MAX = 24 * 3_600_000;

interface Known {
  readonly token: string;
  readonly refreshAtMs: number;
  readonly expiresAtMs: number;
}

export class TokenCache {
  readonly #sources: VolumeSources;
  /** Pod uid -> volume and path -> token. */
  readonly #known = new Map<string, Map<string, Known>>();

  constructor(sources: VolumeSources) {
    this.#sources = sources;
  }

  async get(
    o: { pod: DeepReadonly<Pod>; volumeName: string; projection: DeepReadonly<ServiceAccountTokenProjection> },
    c: Ctx,
  ): Promise<string> {
    const uid = o.pod.metadata.uid ?? '';
    const key = `${o.volumeName} ${o.projection.path}`;
    const known = this.#known.get(uid)?.get(key);
    if (known && c.clock.now() < known.refreshAtMs) return known.token;
    const expirationSeconds = o.projection.expirationSeconds ?? EXPIRATION_SECONDS_DEFAULT;
    const request = { pod: o.pod, audience: o.projection.audience, expirationSeconds };
    const answer = await this.#sources.serviceAccountToken(request, c).catch((e: unknown) => {
      if (known === undefined || c.clock.now() >= known.expiresAtMs || c.signal.aborted) throw e;
      c.log.warn({ err: e, uid, path: o.projection.path }, 'a token could not be renewed; the old one is used on');
      return undefined;
    });
    if (answer === undefined) return known?.token ?? '';
    const now = c.clock.now();
    const refreshAtMs = now + Math.min(0.8 * (answer.expiresAtMs - now), AGE_MS_MAX);
    const ofPod = this.#known.get(uid) ?? new Map<string, Known>();
    ofPod.set(key, { ...answer, refreshAtMs });
    this.#known.set(uid, ofPod);
    return answer.token;
  }

  /** 0 = at once: this process has not got that token yet. undefined = the pod has none. */
  nextRefreshAtMs(pod: DeepReadonly<Pod>): number | undefined {
    const known = this.#known.get(pod.metadata.uid ?? '');
    let next: number | undefined;
    for (const volume of pod.spec?.volumes ?? [])
      for (const { serviceAccountToken: projection } of volume.projected?.sources ?? []) {
        if (projection === undefined) continue;
        const at = known?.get(`${volume.name} ${projection.path}`)?.refreshAtMs ?? 0;
        next = Math.min(at, next ?? at);
      }
    return next;
  }

  forget(uid: string): void {
    this.#known.delete(uid);
  }
}
