/**
 * What becomes of a certificate signing request: pure. Which kinds of certificate the three signers of the API's own
 * certificates give, who may have a node's client certificate without anybody's approval, and when old requests go.
 * Source: kubernetes pkg/apis/certificates/helpers.go, pkg/controller/certificates/{signer,approver,cleaner}.
 *
 * `kubernetes.io/legacy-unknown` is signed and approved by nobody here: certificates.k8s.io/v1 does not admit it.
 */
import type { CertificateSigningRequest, DeepReadonly } from '#lib/api';
import type { SigningRequest } from '#lib/pki';

export const SIGNERS = {
  client: 'kubernetes.io/kube-apiserver-client',
  nodeClient: 'kubernetes.io/kube-apiserver-client-kubelet',
  nodeServing: 'kubernetes.io/kubelet-serving',
} as const;

const NODE_PREFIX = 'system:node:';
const NODE_GROUP = 'system:nodes';
const HOUR_MS = 3_600_000;
const DAY_SECONDS = 24 * 3_600;
const SECONDS_MIN = 600;
const SECONDS_MAX = 365 * DAY_SECONDS;

type Request = DeepReadonly<CertificateSigningRequest>;

export function hasCondition(csr: Request, type: 'Approved' | 'Denied' | 'Failed'): boolean {
  return (csr.status?.conditions ?? []).some((c) => c.type === type);
}

export function isSigned(csr: Request): boolean {
  return (csr.status?.certificate ?? '') !== '';
}

export function isOurs(csr: Request): boolean {
  return Object.values<string>(SIGNERS).includes(csr.spec.signerName);
}

export function awaitsSigning(csr: Request): boolean {
  return isOurs(csr) && hasCondition(csr, 'Approved') && !hasCondition(csr, 'Failed') && !isSigned(csr);
}

/** Why the signer of this name gives no such certificate; undefined = it does. */
export function signingFault(csr: Request, asked: SigningRequest): string | undefined {
  const { signerName, usages = [] } = csr.spec;
  switch (signerName) {
    case SIGNERS.client:
      return usageFault(usages, { needs: ['client auth'], may: ['digital signature', 'key encipherment'] });
    case SIGNERS.nodeClient:
      return nodeClientFault(asked, usages);
    case SIGNERS.nodeServing:
      return nodeServingFault(asked, usages);
    default:
      return `signer ${signerName} is not one of this controller's`;
  }
}

function nodeClientFault(asked: SigningRequest, usages: readonly string[]): string | undefined {
  const { dnsNames, ipAddresses, emails, uris, otherCount } = asked.names;
  if (dnsNames.length > 0) return 'DNS subjectAltNames are not allowed';
  if (emails.length > 0) return 'Email subjectAltNames are not allowed';
  if (ipAddresses.length > 0) return 'IP subjectAltNames are not allowed';
  if (uris.length > 0) return 'URI subjectAltNames are not allowed';
  if (otherCount > 0) return 'other subjectAltNames are not allowed';
  const needs = ['client auth', 'digital signature'];
  return nodeSubjectFault(asked) ?? usageFault(usages, { needs, may: ['key encipherment'] });
}

function nodeServingFault(asked: SigningRequest, usages: readonly string[]): string | undefined {
  const { dnsNames, ipAddresses, emails, uris, otherCount } = asked.names;
  const subject = nodeSubjectFault(asked);
  if (subject !== undefined) return subject;
  if (dnsNames.length + ipAddresses.length === 0) return 'DNS or IP subjectAltName is required';
  if (emails.length > 0) return 'Email subjectAltNames are not allowed';
  if (uris.length > 0) return 'URI subjectAltNames are not allowed';
  if (otherCount > 0) return 'other subjectAltNames are not allowed';
  return usageFault(usages, { needs: ['server auth', 'digital signature'], may: ['key encipherment'] });
}

function nodeSubjectFault({ organizations, commonName }: SigningRequest): string | undefined {
  if (organizations.length !== 1 || organizations[0] !== NODE_GROUP) return 'subject organization is not system:nodes';
  return commonName.startsWith(NODE_PREFIX) ? undefined : 'subject common name does not begin with "system:node:"';
}

function usageFault(
  usages: readonly string[],
  o: { readonly needs: readonly string[]; readonly may: readonly string[] },
): string | undefined {
  const isWhole = o.needs.every((u) => usages.includes(u));
  const isBounded = usages.every((u) => o.needs.includes(u) || o.may.includes(u));
  return isWhole && isBounded ? undefined : `usages did not match [${o.needs.join(' ')}]`;
}

/** Days of validity: a year, or what was asked for between ten minutes and that. */
export function validityDays(csr: Request): number {
  const asked = csr.spec.expirationSeconds ?? SECONDS_MAX;
  return Math.min(Math.max(asked, SECONDS_MIN), SECONDS_MAX) / DAY_SECONDS;
}

export interface Approval {
  /** Subresource of certificatesigningrequests that the requester must be allowed to create. */
  readonly permission: 'selfnodeclient' | 'nodeclient';
  readonly message: string;
}

/** What would approve it without a person, in order of preference; none for all but nodes' client certificates. */
export function approvalsOf(csr: Request, asked: SigningRequest): readonly Approval[] {
  if (csr.spec.signerName !== SIGNERS.nodeClient || signingFault(csr, asked) !== undefined) return [];
  const own: Approval = {
    permission: 'selfnodeclient',
    message: 'Auto approving self kubelet client certificate after SubjectAccessReview.',
  };
  const other: Approval = {
    permission: 'nodeclient',
    message: 'Auto approving kubelet client certificate after SubjectAccessReview.',
  };
  return asked.commonName === csr.spec.username ? [own, other] : [other];
}

/** When a request is of no more use (ms since the epoch): an hour after it was decided, a day when nobody decided. */
export function expiresAtMs(csr: Request): number {
  const decided = (csr.status?.conditions ?? []).map((c) => Date.parse(c.lastUpdateTime ?? '')).filter(Number.isFinite);
  const createdMs = Date.parse(csr.metadata.creationTimestamp ?? '');
  return decided.length > 0 ? Math.max(...decided) + HOUR_MS : createdMs + 24 * HOUR_MS;
}
