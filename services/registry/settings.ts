/** What an administrator may set: the field `registry` of the server's configuration (docs/howto/configure-the-server.md). */

export interface RegistrySettings {
  /** What may be done without login at a machine's own localhost:5000, on every node (ADR 0026). */
  readonly anonymous: 'push' | 'pull';
  /** Whether others, who reach the registry from outside, may pull without login. */
  readonly publicRead: boolean;
  readonly collection: { readonly intervalMinutes: number; readonly graceMinutes: number };
  readonly quotas: readonly Quota[];
  /** Of several rules for a repository the first counts. */
  readonly retention: readonly RetentionRule[];
  /** Registries whose images are kept here when they were asked for. */
  readonly upstreams: readonly Upstream[];
  /** Where blobs are instead of in the registry's folder; read at its start alone. */
  readonly storage: S3Storage | undefined;
}

export interface S3Storage {
  readonly endpoint: string;
  readonly region: string;
  readonly bucket: string;
  /** '' or ends with a slash. */
  readonly prefix: string;
  readonly accessKeyId: string;
  readonly secretAccessKeyFile: string;
  /** PEM; absent = the authorities that the machine trusts. */
  readonly caFile: string | undefined;
}

export interface Upstream {
  /** As image names say it: docker.io. */
  readonly host: string;
  /** Absent = where registries of that name are. */
  readonly url: string | undefined;
  readonly username: string | undefined;
  readonly passwordFile: string | undefined;
  /** PEM; absent = the authorities that the machine trusts. */
  readonly caFile: string | undefined;
  /** For how long a tag that was compared is not compared again. */
  readonly revalidateSeconds: number;
}

/** Distinct bytes of all repositories whose name begins with `prefix`. */
export interface Quota {
  readonly prefix: string;
  readonly bytes: number;
}

/** A tag goes when it is beyond the newest `keepTags` and older than `keepDays`; what is absent keeps nothing back, both absent keeps all. */
export interface RetentionRule {
  /** Patterns: `*` is anything within a component, `**` anything. */
  readonly repositories: readonly string[];
  /** Patterns of the tags that the rule is for; empty = all. */
  readonly tags: readonly string[];
  readonly keepTags: number | undefined;
  readonly keepDays: number | undefined;
  /** Manifests without a tag that are older go; absent = they stay. */
  readonly untaggedDays: number | undefined;
}

export const DEFAULT_SETTINGS: RegistrySettings = {
  anonymous: 'push',
  publicRead: false,
  collection: { intervalMinutes: 60, graceMinutes: 60 },
  quotas: [],
  retention: [],
  upstreams: [],
  storage: undefined,
};

/** `pattern`: `*` is anything but `/`, `**` anything; all else stands for itself. Time: both lengths multiplied, whatever the stars. */
export function matchesPattern(pattern: string, text: string): boolean {
  const parts = pattern.match(/\*\*+|[\s\S]/g) ?? [];
  // reached[i]: the parts so far match the first i characters.
  let reached = Array.from({ length: text.length + 1 }, (_, i) => i === 0);
  for (const part of parts) {
    const next = reached.map(() => false);
    for (let i = 0; i <= text.length; i++) {
      if (!part.startsWith('*')) next[i] = i > 0 && reached[i - 1] === true && text[i - 1] === part;
      else next[i] = reached[i] === true || (i > 0 && next[i - 1] === true && (part !== '*' || text[i - 1] !== '/'));
    }
    reached = next;
  }
  return reached[text.length] === true;
}
