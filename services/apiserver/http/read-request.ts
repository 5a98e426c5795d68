/** What a request on a resource asks for: from its URL alone, or from its body too. */
import type { IncomingMessage } from 'node:http';
import { StatusError } from '#lib/base';
import type { ApiRequest, RequestBase } from '#lib/client';
import { readObject, readPatch } from './body.ts';
import { deleteOptions, fieldValidation, listQuery, writeOptions } from './options.ts';
import type { ResourceInfo } from './request-info.ts';

export interface Asked {
  readonly req: IncomingMessage;
  readonly info: ResourceInfo;
  readonly query: URLSearchParams;
  readonly warn: (text: string) => void;
}

/** undefined when it has a body. */
export function readRequest({ info, query }: Asked, base: RequestBase): ApiRequest | undefined {
  switch (info.verb) {
    case 'get':
      return { ...base, verb: 'get', resourceVersion: query.get('resourceVersion') ?? undefined };
    case 'list':
      return { ...base, verb: 'list', query: listQuery(query, info.namespace) };
    default:
      return undefined;
  }
}

/** Throws BadRequest, TooLarge or UnsupportedMediaType. */
export async function readRequestBody({ req, info, query, warn }: Asked, base: RequestBase): Promise<ApiRequest> {
  switch (info.verb) {
    case 'create': {
      const report = { validation: fieldValidation(query, 'CreateOptions'), warn };
      const body = (await readObject(req, report)) ?? {};
      return { ...base, verb: 'create', body, options: writeOptions(query, 'CreateOptions') };
    }
    case 'update': {
      const report = { validation: fieldValidation(query, 'UpdateOptions'), warn };
      const body = (await readObject(req, report)) ?? {};
      return { ...base, verb: 'update', body, options: writeOptions(query, 'UpdateOptions') };
    }
    case 'patch': {
      const options = writeOptions(query, 'PatchOptions');
      const report = { validation: options.fieldValidation ?? 'Warn', warn };
      return { ...base, verb: 'patch', ...(await readPatch(req, report)), options };
    }
    case 'delete':
    case 'deletecollection': {
      const options = deleteOptions(query, await readObject(req, { validation: 'Ignore', warn }));
      if (info.verb === 'delete') return { ...base, verb: 'delete', options };
      return { ...base, verb: 'deletecollection', options, query: listQuery(query, info.namespace) };
    }
    default:
      throw new StatusError('Internal', `${info.verb} is not read as a request with a body`);
  }
}
