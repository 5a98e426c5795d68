/**
 * Conversion webhooks of CustomResourceDefinitions: objects go in batches of their order, and come back the same in all but their
 * version, their content, labels and annotations.
 * Source: k8s.io/apiextensions-apiserver/pkg/apiserver/conversion/webhook_converter.go.
 */
import type { DeepReadonly, KubeObject } from '#lib/api';
import { type Ctx, messageOf, type Random, StatusError } from '#lib/base';
import type { WebhookConversion } from '../custom/versions.ts';
import type { Definition } from '../kind-registry.ts';
import type { ClientConfig, WebhookClient } from './client.ts';

type Stored = DeepReadonly<KubeObject>;

const GROUP = 'apiextensions.k8s.io';
const KIND = 'ConversionReview';
const TIMEOUT_MS = 30_000;
/** One answer must not hold the memory of a whole list. */
const BATCH_OBJECTS_MAX = 500;
const BATCH_BYTES_MAX = 1024 * 1024;
/** What a batch may grow to. */
const ANSWER_BYTES_MAX = 8 * 1024 * 1024;

export function webhookConversion(o: { readonly client: WebhookClient; readonly random: Random }): WebhookConversion {
  return async (crd, objects, apiVersion, c) => {
    const { clientConfig: config, conversionReviewVersions } = crd.spec.conversion?.webhook ?? {};
    if (config === undefined) throw failure('webhook configuration must have either service or URL');
    const version = (conversionReviewVersions ?? []).find((v) => v === 'v1' || v === 'v1beta1');
    if (version === undefined) throw failure('no supported conversion review versions');
    const todo = objects.filter((object) => object.apiVersion !== apiVersion);
    const of = subjectOf(crd, todo, objects.length);
    const converted: Stored[] = [];
    for (const batch of batchesOf(todo)) {
      const uid = o.random.uuid();
      const request = { uid, desiredAPIVersion: apiVersion, objects: batch };
      const body = { kind: KIND, apiVersion: `${GROUP}/${version}`, request };
      const answer = await asked(o.client, config, body, of, c);
      const found = objectsOf(answer, { uid, version });
      if (typeof found === 'string') throw failure(`${of} failed: ${found}`);
      if (found.length !== batch.length)
        throw failure(`${of} returned ${found.length} objects, expected ${batch.length}`);
      for (const [i, original] of batch.entries())
        converted.push(checked(original, found[i], { of, index: i, apiVersion }));
    }
    const next = converted.values();
    return objects.map((object) => (object.apiVersion === apiVersion ? object : (next.next().value ?? object)));
  };
}

/** `conversion webhook for example.com/v1, Kind=WidgetList`. */
function subjectOf(crd: Definition, objects: readonly Stored[], count: number): string {
  const [first] = objects;
  const { kind, listKind = `${kind}List` } = crd.spec.names;
  return `conversion webhook for ${first?.apiVersion ?? crd.spec.group}, Kind=${count === 1 ? kind : listKind}`;
}

function* batchesOf(objects: readonly Stored[]): Iterable<readonly Stored[]> {
  let batch: Stored[] = [];
  let bytes = 0;
  for (const object of objects) {
    const size = JSON.stringify(object).length;
    if (batch.length > 0 && (batch.length >= BATCH_OBJECTS_MAX || bytes + size > BATCH_BYTES_MAX)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(object);
    bytes += size;
  }
  if (batch.length > 0) yield batch;
}

async function asked(client: WebhookClient, config: ClientConfig, body: object, of: string, c: Ctx): Promise<unknown> {
  const call = { config, body, timeoutMs: TIMEOUT_MS, tellsTimeout: true, answerBytesMax: ANSWER_BYTES_MAX };
  try {
    return await client.post(call, c);
  } catch (e) {
    if (c.signal.aborted) throw e;
    throw failure(`${of} failed: ${messageOf(e)}`, e);
  }
}

type Fields = { readonly [key: string]: unknown };

/** The converted objects, or what is wrong. */
function objectsOf(
  answer: unknown,
  o: { readonly uid: string; readonly version: string },
): readonly unknown[] | string {
  const review = fieldsOf(answer) ?? {};
  if (o.version === 'v1') {
    const wanted = `${GROUP}/v1, Kind=${KIND}`;
    const got = `${textOf(review['apiVersion'])}, Kind=${textOf(review['kind'])}`;
    if (got !== wanted) return `expected webhook response of ${wanted}, got ${got}`;
  }
  const response = fieldsOf(review['response']);
  if (response === undefined) return 'no response provided';
  const uid = textOf(response['uid']);
  if (o.version === 'v1' && uid !== o.uid)
    return `expected response.uid=${JSON.stringify(o.uid)}, got ${JSON.stringify(uid)}`;
  const result = fieldsOf(response['result']) ?? {};
  const status = textOf(result['status']);
  if (status !== 'Success') {
    const message = textOf(result['message']);
    return message === '' ? `response.result.status was '${status}', not 'Success'` : message;
  }
  const objects = response['convertedObjects'];
  return Array.isArray(objects) ? objects : [];
}

interface Place {
  readonly of: string;
  readonly index: number;
  readonly apiVersion: string;
}

/** With the original's metadata, but for labels and annotations. */
function checked(original: Stored, converted: unknown, { of, index, apiVersion }: Place): Stored {
  const at = `${of} returned invalid converted object at index ${index}`;
  const object = fieldsOf(converted);
  if (object === undefined) throw failure(`${at}: Object 'Kind' is missing`);
  const got = textOf(object['apiVersion']);
  if (got !== apiVersion) throw failure(`${at}: invalid groupVersion (expected ${apiVersion}, received ${got})`);
  const kind = textOf(object['kind']);
  if (kind !== original.kind) throw failure(`${at}: invalid kind (expected ${original.kind}, received ${kind})`);
  const metadata = fieldsOf(object['metadata']);
  if (metadata === undefined) throw failure(`${at}: missing metadata`);
  const same: readonly [string, string][] = [
    ['name', original.metadata.name],
    ['namespace', original.metadata.namespace ?? ''],
    ['UID', original.metadata.uid ?? ''],
  ];
  for (const [name, value] of same) {
    const other = textOf(metadata[name.toLowerCase()]);
    if (other !== value) throw failure(`${at}: must have the same ${name}: ${value} != ${other}`);
  }
  const { labels: _labels, annotations: _annotations, ...kept } = original.metadata;
  const changed = { ...textMap(metadata, 'labels', at), ...textMap(metadata, 'annotations', at) };
  return { ...object, apiVersion, kind, metadata: { ...kept, ...changed } };
}

/** `{labels: {...}}`, or nothing where there are none. */
function textMap(metadata: Fields, name: 'labels' | 'annotations', at: string): { [key: string]: object } {
  const given = metadata[name];
  if (given === undefined || given === null) return {};
  const texts = fieldsOf(given);
  if (texts === undefined || Object.values(texts).some((v) => typeof v !== 'string'))
    throw failure(`${at}: metadata.${name}: Invalid value: must be a map of strings`);
  return { [name]: texts };
}

function fieldsOf(value: unknown): Fields | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  return Object.fromEntries(Object.entries(value));
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function failure(message: string, cause?: unknown): StatusError {
  return new StatusError('Internal', message, { cause });
}
