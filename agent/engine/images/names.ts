/**
 * Names of images as Docker's clients say and read them: familiar forms, a repository with a tag beside it. Pure.
 * Source: github.com/distribution/reference (helpers.go); moby daemon/server/httputils/form.go (RepoTagReference).
 */
import { isKind, messageOf } from '#lib/base';
import { formatReference, isAnyDigest, parseReference, type Reference } from '#lib/oci';
import { badParameter } from '../http/contract.ts';

const SHORT_HEX = 12;

/** Without what every client adds itself: alpine, u/app, r.io/app. */
export function familiarName(r: Pick<Reference, 'host' | 'repository'>): string {
  if (r.host !== 'docker.io') return `${r.host}/${r.repository}`;
  return r.repository.replace(/^library\/(?=[^/]+$)/, '');
}

/** alpine:latest, r.io/app@sha256:… */
export function familiar(r: Reference): string {
  const tag = r.tag === undefined ? '' : `:${r.tag}`;
  return `${familiarName(r)}${tag}${r.digest === undefined ? '' : `@${r.digest}`}`;
}

/** Of a record's reference. */
export function familiarText(reference: string): string {
  return familiar(parseReference(reference));
}

/** Throws 400 in Docker's words. */
export function referenceOf(text: string): Reference {
  try {
    return parseReference(text);
  } catch (e) {
    if (!isKind(e, 'BadRequest')) throw e;
    throw badParameter(messageOf(e).replace(/^couldn't parse image name ".*": (?=\S)/s, ''));
  }
}

/** It says neither tag nor digest. */
export function isNameOnly(text: string): boolean {
  return !text.includes('@') && text.lastIndexOf(':') <= text.lastIndexOf('/');
}

/** `repo` and `tag` of a query; undefined without a repo. */
export function repoTag(repo: string | undefined, tag: string | undefined): Reference | undefined {
  if (repo === undefined || repo === '') return undefined;
  if (repo.includes('@')) throw badParameter('cannot import digest reference');
  const base = referenceOf(repo);
  return tag === undefined || tag === '' ? base : referenceOf(formatReference({ ...base, tag }));
}

/** `tag` may be a digest. */
export function withTagOrDigest(text: string, tag: string | undefined): Reference {
  const { host, repository, ...said } = referenceOf(text);
  const isTagged = tag !== undefined && tag !== '';
  if (isTagged && isAnyDigest(tag)) return { host, repository, digest: tag };
  if (isTagged) return referenceOf(formatReference({ host, repository, tag }));
  return said.digest === undefined ? { host, repository, tag: said.tag } : { host, repository, digest: said.digest };
}

/** The first twelve digits of an id. */
export function shortId(id: string): string {
  return id.replace(/^sha256:/, '').slice(0, SHORT_HEX);
}
