/**
 * Service account tokens of projected volumes: asked for once, asked for again when 80 % of their life or 24 h are over
 * (pkg/kubelet/token). In memory only: after a restart of the agent pods simply get fresh ones.
 */
import type { DeepReadonly, Pod, ServiceAccountTokenProjection } from '#lib/api';
import type { Ctx } from '#lib/base';
import type { VolumeSources } from './volume.ts';

const EXPIRATION_SECONDS_DEFAULT = 3600;
const AGE_MS_MAX = 24 * 3_600_000;

interface Known {
  readonly token: string;
  readonly refreshAtMs: number;
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
    const { token, expiresAtMs } = await this.#sources.serviceAccountToken(request, c);
    const now = c.clock.now();
    const refreshAtMs = now + Math.min(0.8 * (expiresAtMs - now), AGE_MS_MAX);
    const ofPod = this.#known.get(uid) ?? new Map<string, Known>();
    ofPod.set(key, { token, refreshAtMs });
    this.#known.set(uid, ofPod);
    return token;
  }

  nextRefreshAtMs(uid: string): number | undefined {
    const times = [...(this.#known.get(uid)?.values() ?? [])].map((k) => k.refreshAtMs);
    return times.length === 0 ? undefined : Math.min(...times);
  }

  forget(uid: string): void {
    this.#known.delete(uid);
  }
}
