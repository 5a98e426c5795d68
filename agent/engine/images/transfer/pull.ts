/**
 * `POST /images/create?fromImage=`: by tag, by digest, or all tags of a repository, by the same puller, mirrors and store as pods.
 * Nothing is sent before the registry has told of the image, so that what it refuses is an HTTP status.
 * Source: moby daemon/images/image_pull.go, daemon/internal/distribution/{pull,pull_v2,errors}.go.
 */
import { type Ctx, isKind, messageOf, StatusError } from '#lib/base';
import { formatReference, localPlatform, type Reference } from '#lib/oci';
import type { PullStep, RegistryCredentials } from '../../../images/images.ts';
import type { OpenImages } from '../../../images/open.ts';
import { isPlatform } from '../../../images/platform.ts';
import { sourcesOf } from '../../../images/registries/remote.ts';
import { badParameter, EngineError, notFound } from '../../http/contract.ts';
import type { ImageEvents } from '../events.ts';
import type { ImageLibrary } from '../library.ts';
import { familiar, familiarName, shortId } from '../names.ts';
import type { ProgressStream } from './progress-stream.ts';

export interface PullParts {
  readonly images: OpenImages;
  readonly library: ImageLibrary;
  readonly events: ImageEvents;
}

export interface PullRequest {
  readonly reference: Reference;
  /** All of the repository's tags. */
  readonly allTags: boolean;
  /** '' = this machine's. */
  readonly platform: string;
  readonly credentials: RegistryCredentials | undefined;
  /** The stream, begun at the first call. */
  readonly output: () => ProgressStream;
}

const TAGS_MAX = 10_000;

/** Errors before the stream has begun are EngineErrors with Docker's words. */
export async function pullImages(parts: PullParts, r: PullRequest, c: Ctx): Promise<void> {
  if (familiarName(r.reference) === 'scratch') throw new EngineError(403, "'scratch' is a reserved name");
  if (r.platform !== '' && !isPlatform(r.platform, localPlatform()))
    throw notFound(
      `no matching manifest for ${r.platform} in the manifest list entries: this engine runs ${localPlatform().os}/${localPlatform().architecture} alone`,
    );
  const tags = r.allTags ? await allTags(parts, r, c) : [r.reference];
  for (const reference of tags) await pullOne(parts, { ...r, reference }, c);
}

async function pullOne(parts: PullParts, r: PullRequest, c: Ctx): Promise<void> {
  const { reference, output } = r;
  const { images, library } = parts;
  const before = images.catalog.record(formatReference(reference));
  const told = new LayerLines(output, reference);
  try {
    const image = await images.pull(
      formatReference(reference),
      { credentials: () => r.credentials, onProgress: (p) => told.step(p), isKept: true },
      c,
    );
    told.begin();
    const now = images.catalog.record(image.reference);
    const isNew = before === undefined || before.id !== image.id || before.topDigest !== now?.topDigest;
    const name = familiar(reference);
    if (now !== undefined) output().status(`Digest: ${now.topDigest}`);
    output().status(`Status: ${isNew ? 'Downloaded newer image' : 'Image is up to date'} for ${name}`);
    const found = library.byId(image.id);
    if (found) await parts.events.emit('pull', found, { id: name, name: familiarName(reference) });
  } catch (e) {
    throw pullError(e, reference);
  }
}

/** One line for each step of each layer, after the headline. */
class LayerLines {
  readonly #output: () => ProgressStream;
  readonly #reference: Reference;
  readonly #phases = new Map<string, PullStep['phase']>();
  #isBegun = false;

  constructor(output: () => ProgressStream, reference: Reference) {
    this.#output = output;
    this.#reference = reference;
  }

  begin(): void {
    if (this.#isBegun) return;
    this.#isBegun = true;
    const { tag, digest } = this.#reference;
    this.#output().message(`Pulling from ${familiarName(this.#reference)}`, tag ?? digest ?? 'latest');
  }

  step(p: PullStep): void {
    this.begin();
    const out = this.#output();
    const id = shortId(p.layer);
    const before = this.#phases.get(p.layer);
    this.#phases.set(p.layer, p.phase);
    /* Another's pull may have been joined in the middle. */
    if (before === undefined && p.phase !== 'exists') out.status('Pulling fs layer', id);
    switch (p.phase) {
      case 'exists':
        out.status('Already exists', id);
        return;
      case 'waiting':
        out.status('Waiting', id);
        return;
      case 'downloading':
        out.progress('Downloading', id, p.doneBytes, p.totalBytes);
        return;
      case 'downloaded':
        out.status('Verifying Checksum', id);
        out.status('Download complete', id);
        return;
      case 'extracting':
        out.progress('Extracting', id, p.totalBytes, p.totalBytes);
        return;
      case 'extracted':
        out.status('Pull complete', id);
        return;
    }
  }
}

async function allTags(parts: PullParts, r: PullRequest, c: Ctx): Promise<readonly Reference[]> {
  const { host, repository } = r.reference;
  try {
    const asked = await sourcesOf(parts.images.registries, r.reference, { credentials: () => r.credentials });
    const tags = await asked.sources.first('resolve', (remote) => remote.listTags(c), c);
    if (tags.length > TAGS_MAX) throw badParameter(`${familiarName(r.reference)} has more than ${TAGS_MAX} tags`);
    if (tags.length === 0) throw notFound(`repository ${familiarName(r.reference)} not found: it has no tags`);
    return tags.map((tag) => ({ host, repository, tag }));
  } catch (e) {
    throw pullError(e, r.reference);
  }
}

/** Clients look for these texts. */
export function pullError(e: unknown, r: Reference): unknown {
  if (!(e instanceof StatusError)) return e;
  const words = messageOf(e)
    .replace(`${r.host}/${r.repository}`, '')
    .replace(/^[:@][^ ]* /, '');
  if (e.kind === 'Unauthorized' || e.kind === 'Forbidden')
    return new EngineError(
      404,
      `pull access denied for ${familiarName(r)}, repository does not exist or may require 'docker login': ${words}`,
      { cause: e },
    );
  if (e.kind === 'NotFound') {
    const isName = words.includes('name unknown');
    const subject = isName ? `repository ${familiarName(r)}` : `manifest for ${familiar(r)}`;
    return new EngineError(404, `${subject} not found: ${words}`, { cause: e });
  }
  if (isKind(e, 'Invalid') && e.message.includes('no match for platform'))
    return new EngineError(404, e.message.replace(/^no match for platform/, 'no matching manifest for'), { cause: e });
  return new EngineError(500, e.message, { cause: e });
}
