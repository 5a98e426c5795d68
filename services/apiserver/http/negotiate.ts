/** Content negotiation (kubernetes-api.md 5 and 11): the first entry of Accept that can be served wins. */
import { StatusError } from '#lib/base';

export type Form =
  | { readonly as: 'object'; readonly yaml: boolean }
  | { readonly as: 'Table'; readonly version: string }
  | { readonly as: 'PartialObjectMetadata' };

const ACCEPTED =
  'application/json, application/yaml, application/json;as=Table;v=v1;g=meta.k8s.io, ' +
  'application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io';

const JSON_FORM: Form = { as: 'object', yaml: false };

interface MediaType {
  readonly type: string;
  readonly parameters: ReadonlyMap<string, string>;
}

/** `transforms`: whether this endpoint can give Tables and partial metadata. Throws NotAcceptable. */
export function negotiate(accept: string | undefined, transforms: boolean): Form {
  if (accept === undefined || accept === '' || accept === 'application/json') return JSON_FORM;
  for (const media of parseAccept(accept)) {
    const form = formOf(media, transforms);
    if (form !== undefined) return form;
  }
  throw new StatusError('NotAcceptable', `only the following media types are accepted: ${ACCEPTED}`);
}

export function parseAccept(accept: string): MediaType[] {
  return accept.split(',').map((entry) => {
    const [type = '', ...parameters] = entry.split(';').map((p) => p.trim());
    const pairs = parameters.map((p): [string, string] => {
      const [key = '', value = ''] = p.split('=');
      return [key.toLowerCase(), value.replace(/^"|"$/g, '')];
    });
    return { type: type.toLowerCase(), parameters: new Map(pairs) };
  });
}

function formOf(media: MediaType, transforms: boolean): Form | undefined {
  const isJson = ['application/json', '*/*', 'application/*'].includes(media.type);
  const isYaml = media.type === 'application/yaml' || media.type === 'text/yaml';
  if (!isJson && !isYaml) return undefined;
  const as = media.parameters.get('as');
  if (as === undefined) return { as: 'object', yaml: isYaml };
  const version = media.parameters.get('v') ?? '';
  if (!transforms || media.parameters.get('g') !== 'meta.k8s.io' || !['v1', 'v1beta1'].includes(version))
    return undefined;
  if (as === 'Table') return { as, version };
  if (as === 'PartialObjectMetadata' || as === 'PartialObjectMetadataList') return { as: 'PartialObjectMetadata' };
  return undefined;
}
