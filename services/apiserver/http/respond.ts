/**
 * Answers: objects and lists spliced from stored bytes (encode once), or rendered as Table, partial metadata, YAML or
 * pretty JSON; errors as Status. Compressed above 128 KiB for clients that ask.
 */
import type { ServerResponse } from 'node:http';
import { finished } from 'node:stream/promises';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import {
  apiVersionOf,
  type DeepReadonly,
  type KindInfo,
  type KubeObject,
  partialMetadata,
  tableOf,
  writeYaml,
} from '#lib/api';
import type { StatusError } from '#lib/base';
import { statusOfError } from '#lib/client';
import { jsonParts, listItems } from '../cache/cached.ts';
import type { CoreResult } from '../core.ts';
import { ExpiredPage } from '../handlers/list.ts';
import type { Form } from './negotiate.ts';

const GZIP_BYTES_MIN = 128 * 1024;
const UNREAD_BYTES_MAX = 64 * 1024;
const gzipAsync = promisify(gzip);

export interface Answer {
  readonly res: ServerResponse;
  readonly form: Form;
  readonly pretty: boolean;
  readonly acceptsGzip: boolean;
  readonly includeObject: 'None' | 'Metadata' | 'Object';
  readonly now: () => number;
}

export async function sendResult(a: Answer, kind: KindInfo, result: CoreResult): Promise<void> {
  switch (result.type) {
    case 'status':
      await sendValue(a, result.code, result.status);
      return;
    case 'object':
      await sendObject(a, kind, result);
      return;
    case 'list':
      await sendList(a, kind, result);
      return;
  }
}

export async function sendError(a: Answer, e: StatusError): Promise<void> {
  const { code, status } = statusOfError(e);
  if (e.details.retryAfterSeconds !== undefined) a.res.setHeader('retry-after', String(e.details.retryAfterSeconds));
  const body = e instanceof ExpiredPage ? { ...status, metadata: { continue: e.token } } : status;
  const form: Form = a.form.as === 'object' ? a.form : { as: 'object', yaml: false };
  await sendValue({ ...a, form }, code === 499 ? 503 : code, body);
}

/** Any value as JSON or YAML. */
export async function sendValue(a: Answer, code: number, value: object): Promise<void> {
  if (a.form.as === 'object' && a.form.yaml) {
    await sendBytes(a, code, Buffer.from(await writeYaml(value)), 'application/yaml');
    return;
  }
  const json = a.pretty ? `${JSON.stringify(value, undefined, 2)}\n` : `${JSON.stringify(value)}\n`;
  await sendBytes(a, code, Buffer.from(json), 'application/json');
}

/** `body`: one piece, or several that are sent one after the other without being joined. */
export async function sendBytes(
  a: Answer,
  code: number,
  body: Buffer | readonly Buffer[],
  contentType: string,
): Promise<void> {
  const { res } = a;
  if (res.destroyed) return;
  res.setHeader('content-type', contentType);
  let parts: readonly Buffer[] = Array.isArray(body) ? body : [body];
  if (a.acceptsGzip && sizeOf(parts) >= GZIP_BYTES_MIN) {
    parts = [await gzipAsync(parts.length === 1 ? (parts[0] ?? EMPTY) : Buffer.concat(parts), { level: 1 })];
    res.setHeader('content-encoding', 'gzip');
    res.setHeader('vary', 'Accept-Encoding');
  }
  res.setHeader('content-length', sizeOf(parts));
  res.writeHead(code);
  for (const part of parts.slice(0, -1)) res.write(part);
  res.end(parts.at(-1));
  // What a client does not read stays in memory: until it has, the request goes on and keeps its seat.
  if (!res.destroyed && res.writableLength > UNREAD_BYTES_MAX) await finished(res).catch(() => undefined);
}

async function sendObject(a: Answer, kind: KindInfo, result: Extract<CoreResult, { type: 'object' }>): Promise<void> {
  const code = result.created === true ? 201 : 200;
  const { object, cached } = result;
  if (a.form.as !== 'object') {
    await sendValue(a, code, rendered(a, a.form, kind, [object], { isList: false }));
    return;
  }
  const isPlain = !a.form.yaml && !a.pretty;
  if (isPlain && cached !== undefined && cached.revision > 0n && cached.object === object) {
    const [head, tail] = jsonParts(cached);
    await sendBytes(a, code, Buffer.concat([Buffer.from(head), tail, NEWLINE]), 'application/json');
    return;
  }
  await sendValue(a, code, object);
}

function sizeOf(parts: readonly Buffer[]): number {
  return parts.reduce((size, p) => size + p.length, 0);
}

const EMPTY = Buffer.alloc(0);
const NEWLINE = Buffer.from('\n');

async function sendList(a: Answer, kind: KindInfo, list: Extract<CoreResult, { type: 'list' }>): Promise<void> {
  const { form } = a;
  if (form.as !== 'object') {
    const objects = list.items.map((i) => i.object);
    await sendValue(a, 200, rendered(a, form, kind, objects, { isList: true, ...metaOf(list) }));
    return;
  }
  const head = {
    kind: kind.custom?.listKind ?? `${kind.kind}List`,
    apiVersion: apiVersionOf(kind),
    metadata: metaOf(list),
  };
  if (form.yaml || a.pretty) {
    const items = list.items.map(({ object }) => (kind.custom === undefined ? withoutType(object) : object));
    await sendValue(a, 200, { ...head, items });
    return;
  }
  const parts = [
    Buffer.from(`${JSON.stringify(head).slice(0, -1)},"items":[`),
    // Items of custom kinds say what they are, as Kubernetes encodes them.
    listItems(list.items, { withType: kind.custom !== undefined }),
    Buffer.from(']}\n'),
  ];
  await sendBytes(a, 200, parts, 'application/json');
}

function withoutType({ kind: _k, apiVersion: _v, ...rest }: DeepReadonly<KubeObject>): object {
  return rest;
}

interface ListMeta {
  readonly resourceVersion?: string;
  readonly continue?: string;
  readonly remainingItemCount?: number;
}

function metaOf(list: Extract<CoreResult, { type: 'list' }>): ListMeta {
  return {
    resourceVersion: list.resourceVersion,
    ...(list.continue === undefined ? {} : { continue: list.continue }),
    ...(list.remainingItemCount === undefined ? {} : { remainingItemCount: list.remainingItemCount }),
  };
}

export function rendered(
  a: Pick<Answer, 'includeObject' | 'now'>,
  form: Exclude<Form, { as: 'object' }>,
  kind: KindInfo,
  objects: readonly DeepReadonly<KubeObject>[],
  o: ListMeta & { readonly isList: boolean; readonly withColumns?: boolean },
): object {
  if (form.as === 'PartialObjectMetadata') {
    if (!o.isList) return partialMetadata(objects[0] as DeepReadonly<KubeObject>);
    const { isList: _, withColumns: _w, ...metadata } = o;
    return {
      kind: 'PartialObjectMetadataList',
      apiVersion: 'meta.k8s.io/v1',
      metadata,
      items: objects.map(partialMetadata),
    };
  }
  const table = tableOf(kind, objects, {
    nowMs: a.now(),
    includeObject: a.includeObject,
    withColumns: o.withColumns !== false,
    resourceVersion: o.isList ? o.resourceVersion : objects[0]?.metadata.resourceVersion,
    continue: o.continue,
    remainingItemCount: o.remainingItemCount,
  });
  return form.version === 'v1' ? table : { ...table, apiVersion: `meta.k8s.io/${form.version}` };
}
