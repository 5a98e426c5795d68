/** Certificate signing requests (PKCS#10, RFC 2986): made by a node, checked and signed by the gateway or the CSR signer. */
import { createPublicKey, createVerify } from 'node:crypto';
import { StatusError } from '#lib/base';
import { certify, nameOf, newKey, type PkiDeps, SIGNATURE_ALGORITHM, signBytes, spkiOfKey } from './certificates.ts';
import {
  bitString,
  type Element,
  elements,
  integer,
  ipBytes,
  ipText,
  malformed,
  octetString,
  oid,
  oidText,
  sequence,
  TAG,
  tlv,
} from './der.ts';
import type { CertificateRequest, KeyPair } from './types.ts';

export interface SigningRequest {
  readonly commonName: string;
  readonly organizations: readonly string[];
  /** DER SubjectPublicKeyInfo. */
  readonly spki: Buffer;
  /** The subject alternative names that it asks for. */
  readonly names: RequestedNames;
}

export interface RequestedNames {
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
  readonly emails: readonly string[];
  readonly uris: readonly string[];
  /** How many of kinds that nobody here signs. */
  readonly otherCount: number;
}

/** DER, and the new key; or for an existing key. */
export async function createCsr(o: {
  commonName: string;
  organizations?: readonly string[] | undefined;
  keyPem?: string | undefined;
  dnsNames?: readonly string[] | undefined;
  ipAddresses?: readonly string[] | undefined;
}): Promise<{ der: Buffer; keyPem: string }> {
  const key = o.keyPem === undefined ? await newKey() : { keyPem: o.keyPem, spki: spkiOfKey(o.keyPem) };
  const info = sequence(
    integer(Buffer.from([0])),
    nameOf(o.commonName, o.organizations ?? []),
    key.spki,
    attributes(o),
  );
  return { der: sequence(info, SIGNATURE_ALGORITHM, bitString(signBytes(info, key.keyPem))), keyPem: key.keyPem };
}

/** Reads a request and checks its signature, which proves that the sender holds the key. Throws Invalid. */
export function parseCsr(der: Uint8Array): SigningRequest {
  const [request, ...behind] = elements(Buffer.from(der));
  const [info, algorithm, signature, ...more] = childrenOf(request);
  const [, subject, spki, asked] = childrenOf(info);
  const [algorithmId] = childrenOf(algorithm);
  if (!info || !subject || !spki || algorithmId?.tag !== TAG.oid || behind.length + more.length > 0) throw malformed();
  if (signature?.tag !== TAG.bitString || signature.content[0] !== 0) throw malformed();
  const hash = HASHES[oidText(algorithmId.content)];
  if (hash === undefined)
    throw new StatusError('Invalid', 'the request is signed by an algorithm that is not accepted');
  try {
    const key = createPublicKey({ key: spki.whole, format: 'der', type: 'spki' });
    if (!createVerify(hash).update(info.whole).verify(key, signature.content.subarray(1)))
      throw new StatusError('Invalid', 'the signature of the certificate request is wrong');
  } catch (e) {
    if (e instanceof StatusError) throw e;
    throw new StatusError('Invalid', 'the certificate request holds no usable key', { cause: e });
  }
  return { ...subjectParts(subject), spki: spki.whole, names: requestedNames(asked) };
}

/** What a request says of itself: its signature is not looked at, so its algorithm does not matter. Throws Invalid. */
export function csrSubject(der: Uint8Array): Pick<SigningRequest, 'commonName' | 'organizations'> {
  const [request] = elements(Buffer.from(der));
  const [info] = childrenOf(request);
  const [, subject] = childrenOf(info);
  if (subject === undefined) throw malformed();
  return subjectParts(subject);
}

/** Signs a request's key under the subject, names and usages given here: nothing but the key is taken from the request. */
export function signCsr(ca: KeyPair, der: Uint8Array, r: CertificateRequest, o: PkiDeps = {}): string {
  return certify(ca, parseCsr(der).spki, r, o);
}

/** ECDSA and RSA with SHA-2 (requests may come from other tools). */
const HASHES: Readonly<Record<string, string>> = {
  '1.2.840.10045.4.3.2': 'sha256',
  '1.2.840.10045.4.3.3': 'sha384',
  '1.2.840.10045.4.3.4': 'sha512',
  '1.2.840.113549.1.1.11': 'sha256',
  '1.2.840.113549.1.1.12': 'sha384',
  '1.2.840.113549.1.1.13': 'sha512',
};

function childrenOf(e: Element | undefined, tag: number = TAG.sequence): Element[] {
  if (e?.tag !== tag) throw malformed();
  return elements(e.content);
}

function subjectParts(subject: Element): { commonName: string; organizations: readonly string[] } {
  let commonName = '';
  const organizations: string[] = [];
  for (const set of childrenOf(subject))
    for (const attribute of childrenOf(set, TAG.set)) {
      const [type, value] = childrenOf(attribute);
      if (type === undefined || value === undefined) throw malformed();
      const id = oidText(type.content);
      if (id === '2.5.4.3') commonName = value.content.toString();
      if (id === '2.5.4.10') organizations.push(value.content.toString());
    }
  return { commonName, organizations };
}

/** PKCS#9 extensionRequest (RFC 2985 5.4.2). */
const EXTENSION_REQUEST = '1.2.840.113549.1.9.14';
const SUBJECT_ALT_NAME = '2.5.29.17';
/** Choices of GeneralName (RFC 5280 4.2.1.6). */
const NAME = { email: 0x81, dns: 0x82, uri: 0x86, ip: 0x87 } as const;

function attributes(o: {
  readonly dnsNames?: readonly string[] | undefined;
  readonly ipAddresses?: readonly string[] | undefined;
}): Buffer {
  const names = [
    ...(o.dnsNames ?? []).map((n) => tlv(NAME.dns, Buffer.from(n))),
    ...(o.ipAddresses ?? []).map((a) => tlv(NAME.ip, ipBytes(a))),
  ];
  if (names.length === 0) return tlv(0xa0);
  const extensions = sequence(sequence(oid(SUBJECT_ALT_NAME), octetString(sequence(...names))));
  return tlv(0xa0, sequence(oid(EXTENSION_REQUEST), tlv(TAG.set, extensions)));
}

function requestedNames(asked: Element | undefined): RequestedNames {
  const found = asked?.tag === 0xa0 ? elements(asked.content) : [];
  const names: Element[] = [];
  for (const attribute of found) {
    const [type, values] = childrenOf(attribute);
    if (type === undefined || oidText(type.content) !== EXTENSION_REQUEST) continue;
    for (const extensions of childrenOf(values, TAG.set))
      for (const extension of childrenOf(extensions)) {
        const [id, ...rest] = childrenOf(extension);
        const value = rest.at(-1);
        if (id === undefined || value === undefined || oidText(id.content) !== SUBJECT_ALT_NAME) continue;
        names.push(...elements(value.content).flatMap((list) => childrenOf(list)));
      }
  }
  const texts = (tag: number): string[] => names.filter((n) => n.tag === tag).map((n) => n.content.toString('utf8'));
  const known = new Set<number>(Object.values(NAME));
  return {
    dnsNames: texts(NAME.dns),
    ipAddresses: names.filter((n) => n.tag === NAME.ip).map((n) => ipText(n.content)),
    emails: texts(NAME.email),
    uris: texts(NAME.uri),
    otherCount: names.filter((n) => !known.has(n.tag)).length,
  };
}

/** The DER of the first PEM block of this label; undefined when there is none. */
export function derOfPem(label: 'CERTIFICATE REQUEST', pem: string): Buffer | undefined {
  const begin = `-----BEGIN ${label}-----`;
  const start = pem.indexOf(begin);
  const end = pem.indexOf(`-----END ${label}-----`, start);
  return start < 0 || end < 0 ? undefined : Buffer.from(pem.slice(start + begin.length, end), 'base64');
}
