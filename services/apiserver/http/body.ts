/** A request body by its Content-Type: JSON, YAML or Kubernetes protobuf, as a plain value. */
import type { IncomingMessage } from 'node:http';
import { decodeProtobuf, type FieldValidation, findDuplicateFields, readYaml } from '#lib/api';
import { messageOf, StatusError } from '#lib/base';
import type { PatchType } from '#lib/client';
import { readBody } from '#lib/http';
import { badRequest } from '../api-errors.ts';

/** Kubernetes' limit on request bodies. */
const BODY_BYTES_MAX = 3 * 1024 * 1024;

const OBJECT_TYPES = 'application/json, application/yaml, application/vnd.kubernetes.protobuf';
const PATCHES: ReadonlyMap<string, PatchType> = new Map([
  ['application/json-patch+json', 'json'],
  ['application/merge-patch+json', 'merge'],
  ['application/strategic-merge-patch+json', 'strategic'],
  ['application/apply-patch+yaml', 'apply'],
]);

export interface Reporter {
  readonly validation: FieldValidation;
  readonly warn: (text: string) => void;
}

/** undefined when the body is empty. */
export async function readObject(req: IncomingMessage, report: Reporter): Promise<unknown> {
  const type = mediaType(req);
  const bytes = await readBody(req, BODY_BYTES_MAX);
  if (bytes.length === 0) return undefined;
  switch (type) {
    case '':
    case 'application/json':
      return parseJson(bytes, report);
    case 'application/yaml':
      return await parseYamlBody(bytes);
    case 'application/vnd.kubernetes.protobuf':
      return decodeProtobuf(bytes).object;
    default:
      throw unsupported(OBJECT_TYPES);
  }
}

export async function readPatch(req: IncomingMessage): Promise<{ patchType: PatchType; body: unknown }> {
  const patchType = PATCHES.get(mediaType(req));
  if (patchType === undefined) throw unsupported([...PATCHES.keys()].join(', '));
  const bytes = await readBody(req, BODY_BYTES_MAX);
  const body = patchType === 'apply' ? await parseYamlBody(bytes) : parseJson(bytes, undefined);
  return { patchType, body };
}

function parseJson(bytes: Buffer, report: Reporter | undefined): unknown {
  const text = bytes.toString('utf8');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (e) {
    throw badRequest(`couldn't get version/kind; json parse error: ${messageOf(e)}`);
  }
  if (report === undefined || report.validation === 'Ignore') return value;
  const duplicates = findDuplicateFields(text);
  if (duplicates.length === 0) return value;
  if (report.validation === 'Strict') throw badRequest(`strict decoding error: ${duplicates.join(', ')}`);
  for (const d of duplicates) report.warn(d);
  return value;
}

async function parseYamlBody(bytes: Buffer): Promise<unknown> {
  const refused = (e: unknown): StatusError => badRequest(`error decoding YAML: ${messageOf(e)}`);
  const [first, second] = await readYaml(bytes.toString('utf8')).catch((e: unknown) => {
    throw refused(e); // too many aliases
  });
  if (first?.mistake !== undefined) throw refused(first.mistake);
  if (second !== undefined) throw badRequest('error decoding YAML: the body must be one document');
  return first?.value ?? null;
}

function mediaType(req: IncomingMessage): string {
  return (req.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? '';
}

function unsupported(accepted: string): StatusError {
  const message = `the body of the request was in an unknown format - accepted media types include: ${accepted}`;
  return new StatusError('UnsupportedMediaType', message);
}
