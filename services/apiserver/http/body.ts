/** A request body by its Content-Type: JSON, YAML or Kubernetes protobuf, as a plain value. */
import type { IncomingMessage } from 'node:http';
import {
  decodeProtobuf,
  type FieldValidation,
  findDuplicateFields,
  isJsonWithinDepth,
  JSON_DEPTH_MAX,
  readYaml,
} from '#lib/api';
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
      return await parseYaml(bytes.toString('utf8'));
    case 'application/vnd.kubernetes.protobuf':
      return decodeProtobuf(bytes).object;
    default:
      throw unsupported(OBJECT_TYPES);
  }
}

export async function readPatch(
  req: IncomingMessage,
  report: Reporter,
): Promise<{ patchType: PatchType; body: unknown }> {
  const patchType = PATCHES.get(mediaType(req));
  if (patchType === undefined) throw unsupported([...PATCHES.keys()].join(', '));
  const bytes = await readBody(req, BODY_BYTES_MAX);
  const body = patchType === 'apply' ? await parseApply(bytes, report) : parseJson(bytes, undefined);
  return { patchType, body };
}

function parseJson(bytes: Buffer, report: Reporter | undefined): unknown {
  checkDepth(bytes);
  const text = bytes.toString('utf8');
  try {
    return withoutDuplicates(text, JSON.parse(text), report);
  } catch (e) {
    if (e instanceof StatusError) throw e;
    throw badRequest(`couldn't get version/kind; json parse error: ${messageOf(e)}`);
  }
}

/** Stock clients say YAML and send JSON, which is YAML too but parsed a hundred times faster as what it is. */
async function parseApply(bytes: Buffer, report: Reporter): Promise<unknown> {
  const text = bytes.toString('utf8');
  if (!/^\s*\{/.test(text)) return await parseYaml(text);
  checkDepth(bytes);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // A mapping in YAML's own flow style.
    return await parseYaml(text);
  }
  return withoutDuplicates(text, value, report);
}

/** JSON.parse keeps the last of the fields of one name; they are told as asked for. */
function withoutDuplicates(text: string, value: unknown, report: Reporter | undefined): unknown {
  if (report === undefined || report.validation === 'Ignore') return value;
  const duplicates = findDuplicateFields(text);
  if (duplicates.length === 0) return value;
  if (report.validation === 'Strict') throw badRequest(`strict decoding error: ${duplicates.join(', ')}`);
  for (const d of duplicates) report.warn(d);
  return value;
}

async function parseYaml(text: string): Promise<unknown> {
  const refused = (e: unknown): StatusError => badRequest(`error decoding YAML: ${messageOf(e)}`);
  const [first, second] = await readYaml(text).catch((e: unknown) => {
    throw refused(e); // too many aliases
  });
  if (first?.mistake !== undefined) throw refused(first.mistake);
  if (second !== undefined) throw badRequest('error decoding YAML: the body must be one document');
  return first?.value ?? null;
}

function checkDepth(bytes: Buffer): void {
  if (!isJsonWithinDepth(bytes))
    throw badRequest(`exceeded max depth: objects and arrays may nest ${JSON_DEPTH_MAX} deep`);
}

function mediaType(req: IncomingMessage): string {
  return (req.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? '';
}

function unsupported(accepted: string): StatusError {
  const message = `the body of the request was in an unknown format - accepted media types include: ${accepted}`;
  return new StatusError('UnsupportedMediaType', message);
}
