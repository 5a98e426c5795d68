/**
 * Where a build's files and its Dockerfile come from: the body's tar, or a URL. Nothing of it is unpacked (build/context/tar-tree.ts).
 * Source: moby daemon/builder/remotecontext/detect.go.
 */
import { join } from 'node:path';
import { type Ctx, messageOf, StatusError } from '#lib/base';
import { discard, type Transport } from '#lib/oci';
import { IgnorePatterns } from '../../build/context/patterns.ts';
import type { TarTree } from '../../build/context/tar-tree.ts';
import { clipped, resolveIn, type SourceTree } from '../../build/context/tree.ts';
import { DOCKERFILE_BYTES_MAX } from '../../build/dockerfile/lines.ts';
import { receiveArchive } from '../../build/node/archive.ts';
import type { Kernel } from '../../kernel/kernel.ts';
import { badParameter } from '../http/contract.ts';

export interface BuildContext {
  readonly dockerfile: string;
  /** undefined: a Dockerfile came alone. */
  readonly tree: SourceTree | undefined;
}

export interface ContextHost {
  readonly kernel: Kernel;
  readonly transport: Transport;
  /** New; whoever asks removes it. */
  readonly folder: string;
}

/** The body is read to its end, or the client would wait for ever with the rest of it. */
export async function readContext(
  o: { readonly body: AsyncIterable<Uint8Array>; readonly remote: string; readonly dockerfile: string },
  host: ContextHost,
  c: Ctx,
): Promise<BuildContext> {
  if (o.remote === '') return fromTar(await received(o.body, host, c), o.dockerfile, c);
  for await (const _ of o.body) c.signal.throwIfAborted();
  const answer = await host.transport.send({ method: 'GET', url: o.remote, headers: {} }, c);
  if (answer.status !== 200) {
    await discard(answer);
    throw new StatusError('Unavailable', `failed to GET ${o.remote} with status ${answer.status}`);
  }
  const got = await receiveArchive(
    bytesOf(answer.body),
    { kernel: host.kernel, path: join(host.folder, 'context') },
    c,
  );
  if ('tree' in got) return fromTar(got.tree, o.dockerfile, c);
  return { dockerfile: await text([got.head], got.rest, o.remote), tree: undefined };
}

async function received(body: AsyncIterable<Uint8Array>, host: ContextHost, c: Ctx): Promise<TarTree> {
  const got = await receiveArchive(body, { kernel: host.kernel, path: join(host.folder, 'context') }, c);
  if ('tree' in got) return got.tree;
  for await (const _ of got.rest) c.signal.throwIfAborted();
  throw badParameter(
    got.head.length === 0
      ? 'the build context is empty: a tar archive was expected'
      : 'the build context is no tar archive',
  );
}

async function* bytesOf(body: AsyncIterable<unknown>): AsyncGenerator<Uint8Array, void, void> {
  for await (const piece of body) if (piece instanceof Uint8Array) yield piece;
}

async function fromTar(tree: TarTree, wanted: string, c: Ctx): Promise<BuildContext> {
  const path =
    (await fileAt(tree, wanted, c)) ?? (wanted === 'Dockerfile' ? await fileAt(tree, 'dockerfile', c) : undefined);
  if (path === undefined) throw badParameter(`Cannot locate specified Dockerfile: ${wanted}`);
  const dockerfile = await text([], tree.read(path), wanted);
  if (dockerfile === '') throw badParameter(`the Dockerfile (${wanted}) cannot be empty`);
  await removeIgnored(tree, clipped(wanted), c);
  return { dockerfile, tree };
}

async function fileAt(tree: TarTree, wanted: string, c: Ctx): Promise<string | undefined> {
  const path = await resolveIn(tree, clipped(wanted), { last: true }, c);
  return (await tree.stat(path))?.type === 'file' ? path : undefined;
}

/** The client has left out what is ignored, but for these two files, which it must send. */
async function removeIgnored(tree: TarTree, dockerfile: string, c: Ctx): Promise<void> {
  const path = await fileAt(tree, '.dockerignore', c);
  if (path === undefined) return;
  let ignored: IgnorePatterns;
  try {
    ignored = IgnorePatterns.parse(await text([], tree.read(path), '.dockerignore'));
  } catch (e) {
    throw badParameter(`error reading .dockerignore: ${messageOf(e)}`);
  }
  for (const file of ['.dockerignore', dockerfile]) if (ignored.ignores(file)) tree.remove(file);
}

async function text(begin: readonly Uint8Array[], rest: AsyncIterable<Uint8Array>, name: string): Promise<string> {
  const pieces = [...begin];
  let bytes = begin.reduce((sum, p) => sum + p.length, 0);
  for await (const piece of rest) {
    bytes += piece.length;
    if (bytes > DOCKERFILE_BYTES_MAX) throw badParameter(`${name} is larger than ${DOCKERFILE_BYTES_MAX} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString();
}
