/**
 * The referrers API: manifests whose subject is a digest, as an index (spec.md "Listing Referrers"). An unknown digest has an
 * empty list. Answers are kept below the manifest size limit by pages of a thousand.
 */
import { asObject, MEDIA_TYPES } from '#lib/oci';
import { digestParameter, type Exchange, replyJson } from './exchange.ts';

const PAGE_ITEMS_MAX = 1000;

export async function listReferrers(x: Exchange): Promise<void> {
  const subject = digestParameter(x.reference);
  const wanted = x.query.get('artifactType');
  const last = x.query.get('last') ?? '';
  const all = (await x.repository.referrers(subject))
    .map((text) => asObject(JSON.parse(text), 'referrer'))
    .filter((d) => String(d['digest']) > last && (wanted === null || wanted === '' || d['artifactType'] === wanted));
  const items = all.slice(0, PAGE_ITEMS_MAX);
  const end = items.length < all.length ? items.at(-1)?.['digest'] : undefined;
  const filter = wanted === null || wanted === '' ? '' : `artifactType=${encodeURIComponent(wanted)}&`;
  replyJson(
    x,
    { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: items },
    {
      'content-type': MEDIA_TYPES.ociIndex,
      ...(filter !== '' && { 'oci-filters-applied': 'artifactType' }),
      ...(end !== undefined && {
        link: `</v2/${x.repository.name}/referrers/${subject}?${filter}last=${encodeURIComponent(String(end))}>; rel="next"`,
      }),
    },
  );
}
