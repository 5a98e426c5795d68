/**
 * Makes the cluster's certificates: a CA, certificates for servers, clients and nodes, signing requests and their signing.
 * P-256 keys and ECDSA with SHA-256 throughout (RFC 5280, RFC 5480, RFC 2986).
 *
 * Invariants: a leaf is never a CA (basicConstraints CA:FALSE, critical); the subject of a signed request comes from the
 * signer, never from the request; validity begins five minutes ago, since clocks differ.
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  createSign,
  generateKeyPair,
  X509Certificate,
} from 'node:crypto';
import { promisify } from 'node:util';
import { type Clock, type Random, realClock, realRandom, StatusError, timeText } from '#lib/base';
import {
  bitString,
  elements,
  integer,
  ipBytes,
  malformed,
  octetString,
  oid,
  sequence,
  TAG,
  time,
  tlv,
  utf8,
} from './der.ts';
import type { CertificateRequest, KeyPair } from './types.ts';

const OID = {
  ecdsaSha256: '1.2.840.10045.4.3.2',
  commonName: '2.5.4.3',
  organization: '2.5.4.10',
  basicConstraints: '2.5.29.19',
  keyUsage: '2.5.29.15',
  extendedKeyUsage: '2.5.29.37',
  subjectAltName: '2.5.29.17',
  subjectKeyId: '2.5.29.14',
  authorityKeyId: '2.5.29.35',
  server: '1.3.6.1.5.5.7.3.1',
  client: '1.3.6.1.5.5.7.3.2',
} as const;

const EMPTY = Buffer.alloc(0);
const DAY_MS = 24 * 3600 * 1000;
const BACKDATE_MS = 5 * 60 * 1000;
export const SIGNATURE_ALGORITHM = sequence(oid(OID.ecdsaSha256));
const CRITICAL = tlv(TAG.boolean, Buffer.from([0xff]));

export interface PkiDeps {
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
}

/** A self-signed CA, by default for ten years. */
export async function createCa(name: string, o: PkiDeps & { days?: number } = {}): Promise<KeyPair> {
  const { keyPem, spki } = await newKey();
  const subject = nameOf(name, []);
  const cert = sign(
    {
      issuer: subject,
      subject,
      spki,
      days: o.days ?? 3650,
      extensions: [
        extension(OID.basicConstraints, sequence(CRITICAL), true),
        // keyCertSign, cRLSign and digitalSignature.
        extension(OID.keyUsage, bitString(Buffer.from([0x86]), 1), true),
        extension(OID.subjectKeyId, octetString(keyId(spki))),
      ],
    },
    keyPem,
    o,
  );
  return { certPem: cert, keyPem };
}

/** A new key and a certificate for it. */
export async function issue(ca: KeyPair, r: CertificateRequest, o: PkiDeps = {}): Promise<KeyPair> {
  const { keyPem, spki } = await newKey();
  return { certPem: certify(ca, spki, r, o), keyPem };
}

/** A certificate (PEM) for a public key (DER SubjectPublicKeyInfo) that its owner has proved to hold. */
export function certify(ca: KeyPair, spki: Buffer, r: CertificateRequest, o: PkiDeps = {}): string {
  const names = [
    ...(r.dnsNames ?? []).map((n) => tlv(0x82, Buffer.from(n))),
    ...(r.ipAddresses ?? []).map((a) => tlv(0x87, ipBytes(a))),
  ];
  const caCert = new X509Certificate(ca.certPem);
  const extensions = [
    extension(OID.basicConstraints, sequence(), true),
    // digitalSignature, and keyEncipherment when asked.
    extension(
      OID.keyUsage,
      r.keyEncipherment === true ? bitString(Buffer.from([0xa0]), 5) : bitString(Buffer.from([0x80]), 7),
      true,
    ),
    extension(OID.extendedKeyUsage, sequence(...r.usages.map((u) => oid(OID[u])))),
    extension(OID.subjectKeyId, octetString(keyId(spki))),
    extension(OID.authorityKeyId, sequence(tlv(0x80, keyId(spkiOf(caCert))))),
    ...(names.length === 0 ? [] : [extension(OID.subjectAltName, sequence(...names))]),
  ];
  const subject = nameOf(r.commonName, r.organizations ?? []);
  // A leaf that outlives its CA would fail later, in a way harder to understand.
  const caDays = (Date.parse(caCert.validTo) - (o.clock ?? realClock).now()) / DAY_MS;
  if (caDays <= 0) throw new StatusError('Invalid', 'the CA certificate has expired');
  return sign({ issuer: subjectDer(caCert), subject, spki, days: Math.min(r.days, caDays), extensions }, ca.keyPem, o);
}

/** `sha256:<hex>` of the certificate's public key, as kubeadm's discovery-token-ca-cert-hash. */
export function caHash(certPem: string): string {
  return `sha256:${createHash('sha256')
    .update(spkiOf(new X509Certificate(certPem)))
    .digest('hex')}`;
}

/** When a certificate should be renewed: after two thirds of its life. Instant in ms. */
export function renewAt(certPem: string): number {
  const cert = new X509Certificate(certPem);
  const from = Date.parse(cert.validFrom);
  return from + (Date.parse(cert.validTo) - from) * (2 / 3);
}

/** Common name and organizations of a certificate's subject. */
export function subjectOf(cert: X509Certificate): { commonName: string; organizations: readonly string[] } {
  let commonName = '';
  const organizations: string[] = [];
  for (const line of cert.subject.split('\n')) {
    if (line.startsWith('CN=')) commonName = line.slice(3);
    if (line.startsWith('O=')) organizations.push(line.slice(2));
  }
  return { commonName, organizations };
}

export function derOf(certPem: string): Buffer {
  return new X509Certificate(certPem).raw;
}

export function pemOf(label: 'CERTIFICATE' | 'CERTIFICATE REQUEST', der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

const generate = promisify(generateKeyPair);

export async function newKey(): Promise<{ keyPem: string; spki: Buffer }> {
  const { privateKey, publicKey } = await generate('ec', { namedCurve: 'P-256' });
  return {
    keyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    spki: publicKey.export({ type: 'spki', format: 'der' }),
  };
}

export function spkiOfKey(keyPem: string): Buffer {
  return createPublicKey(createPrivateKey(keyPem)).export({ type: 'spki', format: 'der' });
}

export function signBytes(bytes: Buffer, keyPem: string): Buffer {
  return createSign('sha256').update(bytes).sign(keyPem);
}

/** CN and O, each in a set of its own, in the order Go's crypto/x509 writes them. */
export function nameOf(commonName: string, organizations: readonly string[]): Buffer {
  const part = (id: string, text: string): Buffer => tlv(TAG.set, sequence(oid(id), utf8(text)));
  return sequence(...organizations.map((org) => part(OID.organization, org)), part(OID.commonName, commonName));
}

function sign(
  o: { issuer: Buffer; subject: Buffer; spki: Buffer; days: number; extensions: readonly Buffer[] },
  keyPem: string,
  deps: PkiDeps,
): string {
  const now = (deps.clock ?? realClock).now();
  // 15 random bytes below a fixed 0x40: positive, never zero, never longer than 20 bytes.
  const serial = Buffer.concat([Buffer.from([0x40]), Buffer.from((deps.random ?? realRandom).hex(15), 'hex')]);
  const body = sequence(
    tlv(0xa0, integer(Buffer.from([2]))),
    integer(serial),
    SIGNATURE_ALGORITHM,
    o.issuer,
    sequence(time(timeText(now - BACKDATE_MS)), time(timeText(now + o.days * DAY_MS))),
    o.subject,
    o.spki,
    tlv(0xa3, sequence(...o.extensions)),
  );
  return pemOf('CERTIFICATE', sequence(body, SIGNATURE_ALGORITHM, bitString(signBytes(body, keyPem))));
}

function extension(id: string, value: Buffer, isCritical = false): Buffer {
  return sequence(oid(id), ...(isCritical ? [CRITICAL] : []), octetString(value));
}

function keyId(spki: Buffer): Buffer {
  return createHash('sha1').update(spki).digest();
}

function spkiOf(cert: X509Certificate): Buffer {
  return cert.publicKey.export({ type: 'spki', format: 'der' });
}

/** The subject exactly as it is encoded: an issuer must match it byte for byte. */
function subjectDer(cert: X509Certificate): Buffer {
  const fields = elements(elements(elements(cert.raw)[0]?.content ?? EMPTY)[0]?.content ?? EMPTY);
  // version [0], serial, algorithm, issuer, validity, subject.
  const subject = fields[fields[0]?.tag === 0xa0 ? 5 : 4];
  if (subject === undefined) throw malformed();
  return subject.whole;
}
