/**
 * Who a certificate or a signing request speaks of: the common name and the organizations of its subject, from the bytes.
 * The text that node:crypto gives is escaped (RFC 2253), so `doe, jane` would be another user there.
 */
import type { X509Certificate } from 'node:crypto';
import { childrenOf, type Element, elements, malformed, oidText, TAG } from './der.ts';

export interface Subject {
  /** '' = none. Of several the last counts, as in Go's crypto/x509/pkix. */
  readonly commonName: string;
  readonly organizations: readonly string[];
}

const COMMON_NAME = '2.5.4.3';
const ORGANIZATION = '2.5.4.10';

export function subjectOf(cert: X509Certificate): Subject {
  return subjectParts(subjectElement(cert));
}

export function subjectElement(cert: X509Certificate): Element {
  const [certificate] = elements(cert.raw);
  const [toBeSigned] = childrenOf(certificate);
  const fields = childrenOf(toBeSigned);
  // version [0] (absent in version 1), serial, algorithm, issuer, validity, subject.
  const subject = fields[fields[0]?.tag === 0xa0 ? 5 : 4];
  if (subject === undefined) throw malformed();
  return subject;
}

export function subjectParts(subject: Element): Subject {
  let commonName = '';
  const organizations: string[] = [];
  for (const set of childrenOf(subject))
    for (const attribute of childrenOf(set, TAG.set)) {
      const [type, value] = childrenOf(attribute);
      if (type === undefined || value === undefined) throw malformed();
      const id = oidText(type.content);
      if (id === COMMON_NAME) commonName = value.content.toString();
      if (id === ORGANIZATION) organizations.push(value.content.toString());
    }
  return { commonName, organizations };
}
