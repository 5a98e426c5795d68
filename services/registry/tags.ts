/** Tag lists and the catalog, sorted and in pages (spec.md "Listing Tags"; the catalog is Docker's addition). */
import { registryError } from './errors.ts';
import { type Exchange, page, replyJson } from './exchange.ts';

export async function listTags(x: Exchange): Promise<void> {
  if (!(await x.repository.exists())) throw registryError('NAME_UNKNOWN');
  const { name } = x.repository;
  const { items, link } = page(x, await x.repository.tags(), `/v2/${name}/tags/list`);
  replyJson(x, { name, tags: items }, link);
}

export async function catalog(x: Exchange): Promise<void> {
  const { items, link } = page(x, await x.repositories.names(), '/v2/_catalog');
  replyJson(x, { repositories: items }, link);
}
