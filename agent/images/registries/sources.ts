/**
 * The places where one image may be got, asked in their order: what one cannot give is asked of the next, manifest by
 * manifest and blob by blob. A place that could not be reached is asked last from then on, for this image.
 * Source: containerd core/remotes/docker (resolver.go, fetcher.go).
 */
import { type Ctx, type Digest, isKind, messageOf, StatusError } from '#lib/base';
import type { Descriptor, HostCapability, RegistryHost, RemoteRepository } from '#lib/oci';

export interface Source {
  readonly host: RegistryHost;
  readonly repository: RemoteRepository;
}

/** A layer that a registry has. */
export interface RemoteLayer {
  readonly blob: Descriptor;
  readonly diffId: Digest;
  /** Of its tar. */
  readonly bytes: number;
  readonly from: Sources;
}

const FAILURES_TOLD_MAX = 3;

export class Sources {
  /** The registry itself, whose words count when all fail. */
  readonly #own: Source | undefined;
  #order: readonly Source[];

  /** The registry itself is the last. */
  constructor(sources: readonly Source[]) {
    this.#own = sources.at(-1);
    this.#order = sources;
  }

  /** The first answer. When all fail: the registry's own failure, with what the others said. */
  async first<T>(need: HostCapability, ask: (r: RemoteRepository) => Promise<T>, c: Ctx): Promise<T> {
    const able = this.#order.filter((s) => s.host.capabilities.has(need));
    const failures: { source: Source; error: unknown }[] = [];
    for (const source of able) {
      try {
        return await ask(source.repository);
      } catch (error) {
        if (c.signal.aborted || isKind(error, 'Cancelled') || !isRemote(error)) throw error;
        c.log.debug({ err: error, url: source.host.url }, 'a source cannot give what is wanted');
        failures.push({ source, error });
        if (isKind(error, 'Unavailable')) this.#last(source);
      }
    }
    throw failureOf(failures, this.#own, need);
  }

  #last(source: Source): void {
    if (this.#order.length > 1) this.#order = [...this.#order.filter((s) => s !== source), source];
  }
}

/** A full disk is no reason to ask elsewhere. */
function isRemote(e: unknown): boolean {
  return e instanceof StatusError;
}

function failureOf(
  failures: readonly { source: Source; error: unknown }[],
  own: Source | undefined,
  need: HostCapability,
): unknown {
  const main = failures.find((f) => f.source === own) ?? failures.at(-1);
  if (main === undefined)
    return new StatusError('Invalid', `the registry's settings name no host with the capability ${need}`);
  const { error } = main;
  if (!(error instanceof StatusError) || failures.length === 1) return error;
  const others = failures.filter((f) => f !== main).slice(0, FAILURES_TOLD_MAX);
  const told = others.map((f) => `${new URL(f.source.host.url).host}: ${messageOf(f.error)}`).join('; ');
  const { reason, details } = error;
  return new StatusError(error.kind, `${error.message} (asked as well: ${told})`, { reason, details, cause: error });
}
