/**
 * Image references: `[host[:port]/]path[:tag][@digest]`, with Docker's normalisation: no host means docker.io, one path
 * component on docker.io means library/, neither tag nor digest means :latest. A first component is a host only when it holds
 * a dot, a colon or an upper-case letter or is "localhost".
 * Source: github.com/distribution/reference (reference.go grammar, normalize.go), names below 256 characters.
 */
import { StatusError } from '#lib/base';
import { type AnyDigest, isAnyDigest } from './digest.ts';

export interface Reference {
  /** Registry as named, normalised: docker.io, localhost:5000, [::1]:5000. */
  readonly host: string;
  /** Path below the host: library/busybox. */
  readonly repository: string;
  /** Absent only when there is a digest. */
  readonly tag?: string | undefined;
  readonly digest?: AnyDigest | undefined;
}

const COMPONENT = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const REPOSITORY = new RegExp(`^${COMPONENT}(?:/${COMPONENT})*$`);
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const HOST_COMPONENT = '(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])';
const HOST = new RegExp(`^(?:${HOST_COMPONENT}(?:\\.${HOST_COMPONENT})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?$`);
const NAME_CHARS_MAX = 255;

/** Throws BadRequest, reason InvalidImageName, for what is not a reference; the text is Docker's. */
export function parseReference(text: string): Reference {
  const at = text.indexOf('@');
  const named = at < 0 ? text : text.slice(0, at);
  const digestText = at < 0 ? undefined : text.slice(at + 1);
  if (digestText !== undefined && !isAnyDigest(digestText)) throw invalid(text, 'invalid reference format');
  const colon = named.lastIndexOf(':');
  const tagged = colon > named.lastIndexOf('/') && colon >= 0;
  const name = tagged ? named.slice(0, colon) : named;
  const tag = tagged ? named.slice(colon + 1) : undefined;
  if (tag !== undefined && !TAG.test(tag)) throw invalid(text, 'invalid reference format');
  const { host, repository } = splitName(name);
  if (!HOST.test(host)) throw invalid(text, 'invalid reference format');
  if (!REPOSITORY.test(repository)) throw invalid(text, repositoryFault(repository));
  if (/^[a-f0-9]{64}$/.test(name))
    throw invalid(text, `invalid repository name (${name}), cannot specify 64-byte hexadecimal strings`);
  if (host.length + 1 + repository.length > NAME_CHARS_MAX)
    throw invalid(text, `repository name must not be more than ${NAME_CHARS_MAX} characters`);
  return {
    host,
    repository,
    tag: tag ?? (digestText === undefined ? 'latest' : undefined),
    digest: digestText,
  };
}

/** The full normalised text: docker.io/library/busybox:latest. */
export function formatReference(r: Reference): string {
  const tag = r.tag === undefined ? '' : `:${r.tag}`;
  const digest = r.digest === undefined ? '' : `@${r.digest}`;
  return `${r.host}/${r.repository}${tag}${digest}`;
}

/** What stands behind /manifests/ in the distribution protocol: the digest when there is one, else the tag. */
export function manifestReference(r: Reference): string {
  return r.digest ?? r.tag ?? 'latest';
}

export function isRepositoryName(text: string): boolean {
  return text.length <= NAME_CHARS_MAX && REPOSITORY.test(text);
}

export function isTag(text: string): boolean {
  return TAG.test(text);
}

function splitName(name: string): { host: string; repository: string } {
  const slash = name.indexOf('/');
  const first = slash < 0 ? '' : name.slice(0, slash);
  const isHost = slash >= 0 && (/[.:A-Z]/.test(first) || first === 'localhost');
  const host = isHost ? first : 'docker.io';
  const path = isHost ? name.slice(slash + 1) : name;
  if (host !== 'docker.io' && host !== 'index.docker.io') return { host, repository: path };
  return { host: 'docker.io', repository: path.includes('/') ? path : `library/${path}` };
}

function repositoryFault(repository: string): string {
  return REPOSITORY.test(repository.toLowerCase())
    ? `invalid reference format: repository name (${repository}) must be lowercase`
    : 'invalid reference format';
}

function invalid(text: string, why: string): StatusError {
  return new StatusError('BadRequest', `couldn't parse image name "${text}": ${why}`, { reason: 'InvalidImageName' });
}
