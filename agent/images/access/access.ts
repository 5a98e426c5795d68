/**
 * Who may have which image of this node without asking its registry (KEP-2535): a pod whose pull secret this node has pulled that
 * image by before, or whoever, when it was pulled without any. Any other pod pulls it again, which the registry refuses or not.
 *
 * On disk, `<folder>/<image id>.json`: Secrets by name and uid, and a keyed hash of what they said. The key is in memory and gone
 * with the machine's restart (ADR 22): nobody can guess passwords from the disk. Until a Secret is seen again its name and uid say
 * enough.
 * Source: kubernetes pkg/kubelet/images/pullmanager/image_pull_manager.go (MustAttemptImagePull, pulledRecordMergeNewCreds).
 */
import { createHmac } from 'node:crypto';
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Ctx, type Digest, hexOf, type Logger, type Random, writeFileAtomic } from '#lib/base';
import { asArray, asObject, asString, type JsonObject, parseJsonObject, parseReference } from '#lib/oci';
import type { Image, Images, RegistryCredentials } from '../images.ts';
import { mustVerify, type VerificationSettings } from './policy.ts';

/** What of a pod's pull secrets is for an image. */
export interface PullSecret {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** Absent: it is not known any more what it says. */
  readonly credentials?: RegistryCredentials | undefined;
}

export interface ImageAccessOptions {
  readonly folder: string;
  /** A file that lies in memory; made when it is not there. */
  readonly keyPath: string;
  readonly settings: VerificationSettings;
  readonly images: Pick<Images, 'list'>;
  readonly random: Random;
  readonly log: Logger;
}

type Known = Omit<PullSecret, 'credentials'> & { readonly hash: string };
/** Of one image under one name, without tag. */
type Grant = 'anybody' | readonly Known[];

const KEY_BYTES = 32;
/** Beyond it, what was only compared is not noted; and of what was pulled by, the oldest is forgotten. */
const NOTED_MAX = 100;
const KNOWN_MAX = 1_000;

export class ImageAccess {
  readonly #o: ImageAccessOptions;
  readonly #key: string;
  readonly #grants = new Map<Digest, Map<string, Grant>>();
  /** One after the other: an older text must not come to lie over a newer one. */
  #writing: Promise<void> = Promise.resolve();

  private constructor(o: ImageAccessOptions, key: string) {
    this.#o = o;
    this.#key = key;
  }

  static async open(o: ImageAccessOptions, c: Ctx): Promise<ImageAccess> {
    await mkdir(o.folder, { recursive: true, mode: 0o700 });
    let key = await readFile(o.keyPath, 'utf8').catch(() => '');
    if (key === '') {
      key = o.random.hex(KEY_BYTES);
      await writeFileAtomic(o.keyPath, key, { mode: 0o600, durable: false });
    }
    const access = new ImageAccess(o, key);
    const images = await o.images.list(c);
    const files = new Map(images.map((i) => [fileOf(i.id), i.id]));
    for (const file of await readdir(o.folder)) {
      const id = files.get(file);
      if (id !== undefined) await access.#load(id);
      else await rm(join(o.folder, file), { force: true });
    }
    return access;
  }

  /** Whether a pod that has `secrets` for it may have an image that is here. */
  async isOpenTo(image: Image, reference: string, secrets: readonly PullSecret[]): Promise<boolean> {
    if (!mustVerify(this.#o.settings, reference, image.isTracked === true)) return true;
    const grant = this.#grants.get(image.id)?.get(nameOf(reference));
    if (grant === undefined || grant === 'anybody') return grant === 'anybody';
    for (const secret of secrets) {
      const own = this.#known(secret);
      const bySaying = grant.some((known) => own.hash !== '' && known.hash === own.hash);
      const byName = grant.some((known) => isSame(known, own));
      if (!bySaying && !byName) continue;
      const isNoted = grant.some((known) => isSame(known, own) && known.hash === own.hash);
      if (own.hash !== '' && !isNoted && grant.length < NOTED_MAX) await this.#note(image.id, reference, [own]);
      return true;
    }
    return false;
  }

  /** It was pulled by these; by none: whoever pulls it needs none. */
  async pulled(image: Image, reference: string, secrets: readonly PullSecret[], c: Ctx): Promise<void> {
    if (!this.#grants.has(image.id)) await this.#forgetGone(c);
    await this.#note(image.id, reference, secrets.length === 0 ? 'anybody' : secrets.map((s) => this.#known(s)));
  }

  async #note(id: Digest, reference: string, grant: Grant): Promise<void> {
    const names = this.#grants.get(id) ?? new Map<string, Grant>();
    this.#grants.set(id, names);
    const name = nameOf(reference);
    const merged = merge(names.get(name), grant);
    if (merged === names.get(name)) return;
    names.set(name, merged);
    const written = this.#writing.then(async () => {
      const text = JSON.stringify({ version: 1, names: Object.fromEntries(names) });
      await writeFileAtomic(join(this.#o.folder, fileOf(id)), text, { mode: 0o600 });
    });
    this.#writing = written.catch(() => undefined); // Told to who asked for it.
    await written;
  }

  async #forgetGone(c: Ctx): Promise<void> {
    const ids = new Set((await this.#o.images.list(c)).map((i) => i.id));
    for (const id of [...this.#grants.keys()]) {
      if (ids.has(id)) continue;
      this.#grants.delete(id);
      await rm(join(this.#o.folder, fileOf(id)), { force: true });
    }
  }

  /** One that cannot be read is none: whoever wants that image pulls it again. */
  async #load(id: Digest): Promise<void> {
    const path = join(this.#o.folder, fileOf(id));
    try {
      const names = asObject(parseJsonObject(await readFile(path), 'image access')['names'], 'names');
      this.#grants.set(id, new Map(Object.entries(names).map(([name, grant]) => [name, decode(grant)])));
    } catch (err) {
      this.#o.log.warn({ err, path }, 'cannot be read: the image must be pulled again by who wants it');
    }
  }

  #known({ namespace, name, uid, credentials }: PullSecret): Known {
    const said = credentials === undefined ? undefined : [credentials.username, credentials.password];
    const hash = said === undefined ? '' : createHmac('sha256', this.#key).update(JSON.stringify(said)).digest('hex');
    return { namespace, name, uid, hash };
  }
}

function merge(before: Grant | undefined, next: Grant): Grant {
  if (before === 'anybody' || next === 'anybody') return 'anybody';
  const kept = (before ?? []).filter((known) => !next.some((n) => isSame(known, n)));
  return [...kept, ...next].slice(-KNOWN_MAX);
}

function isSame(a: Known, b: Known): boolean {
  return a.uid === b.uid && a.namespace === b.namespace && a.name === b.name;
}

function decode(value: unknown): Grant {
  if (value === 'anybody') return value;
  return asArray(value, 'grant').map((entry) => {
    const o: JsonObject = asObject(entry, 'secret');
    const text = (key: string): string => asString(o[key], key);
    return { namespace: text('namespace'), name: text('name'), uid: text('uid'), hash: text('hash') };
  });
}

function nameOf(reference: string): string {
  const { host, repository } = parseReference(reference);
  return `${host}/${repository}`;
}

function fileOf(id: Digest): string {
  return `${hexOf(id)}.json`;
}
