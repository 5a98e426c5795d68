/**
 * Approves, signs and cleans up certificate signing requests of the API's own signers. Everything in a certificate but its
 * key is checked against the signer's rules before it is signed; a request that breaks them fails and stays failed.
 * Source: kubernetes pkg/controller/certificates/{approver/sarapprove,signer/signer,cleaner/cleaner}.go.
 */
import type { CertificateSigningRequest, DeepReadonly } from '#lib/api';
import { Kinds, kindByResource } from '#lib/api';
import { type Ctx, isKind, StatusError, timeText } from '#lib/base';
import type { Controller, Outcome } from '#lib/controller';
import { DONE, objectsOf, startController } from '#lib/controller';
import { certify, derOfPem, type KeyPair, parseCsr, type SigningRequest } from '#lib/pki';
import type { Deps } from '../deps.ts';
import {
  approvalsOf,
  awaitsSigning,
  expiresAtMs,
  hasCondition,
  isOurs,
  SIGNERS,
  signingFault,
  validityDays,
} from './plan.ts';

type Request = DeepReadonly<CertificateSigningRequest>;

export function startCertificatesController(deps: Deps, authority: KeyPair): Controller {
  const requests = deps.informers.informer(Kinds.certificatesigningrequests);
  return startController({
    ...deps,
    name: 'certificates',
    workers: 2,
    sources: [objectsOf(requests)],
    reconciler: {
      async reconcile(name, c): Promise<Outcome> {
        const csr = requests.get({ namespace: '', name });
        if (csr === undefined || csr.metadata.deletionTimestamp !== undefined) return DONE;
        try {
          return await bring(deps, authority, csr, c);
        } catch (e) {
          if (isKind(e, 'NotFound')) return DONE;
          throw e;
        }
      },
    },
  });
}

async function bring(deps: Deps, authority: KeyPair, csr: Request, c: Ctx): Promise<Outcome> {
  const leftMs = expiresAtMs(csr) - c.clock.now();
  if (leftMs <= 0) {
    const { name, uid, resourceVersion } = csr.metadata;
    const preconditions = { uid, resourceVersion };
    await deps.client.delete(Kinds.certificatesigningrequests, { namespace: '', name }, { preconditions }, c);
    return DONE;
  }
  if (awaitsSigning(csr)) await sign(deps, authority, csr, c);
  else if (isOurs(csr) && !hasCondition(csr, 'Approved') && !hasCondition(csr, 'Denied')) await approve(deps, csr, c);
  return { afterMs: leftMs };
}

async function sign(deps: Deps, authority: KeyPair, csr: Request, c: Ctx): Promise<void> {
  const asked = read(csr);
  const fault = typeof asked === 'string' ? asked : signingFault(csr, asked);
  if (typeof asked === 'string' || fault !== undefined) {
    const failed = condition('Failed', 'SignerValidationFailure', fault ?? '', c);
    const status = { ...csr.status, conditions: [...(csr.status?.conditions ?? []), failed] };
    await update(deps, { ...csr, status }, 'status', c);
    return;
  }
  const { commonName, organizations, names } = asked;
  const isServing = csr.spec.signerName === SIGNERS.nodeServing;
  const pem = certify(
    authority,
    asked.spki,
    {
      commonName,
      organizations,
      dnsNames: names.dnsNames,
      ipAddresses: names.ipAddresses,
      usages: [isServing ? 'server' : 'client'],
      keyEncipherment: csr.spec.usages?.includes('key encipherment') === true,
      days: validityDays(csr),
    },
    { clock: deps.clock, random: deps.random },
  );
  const certificate = Buffer.from(pem).toString('base64');
  await update(deps, { ...csr, status: { ...csr.status, certificate } }, 'status', c);
}

async function approve(deps: Deps, csr: Request, c: Ctx): Promise<void> {
  const asked = read(csr);
  if (typeof asked === 'string') return;
  for (const { permission, message } of approvalsOf(csr, asked)) {
    if (!(await isAllowed(deps, csr, permission, c))) continue;
    const approved = condition('Approved', 'AutoApproved', message, c);
    const status = { ...csr.status, conditions: [...(csr.status?.conditions ?? []), approved] };
    await update(deps, { ...csr, status }, 'approval', c);
    return;
  }
}

async function isAllowed(deps: Deps, { spec }: Request, subresource: string, c: Ctx): Promise<boolean> {
  const kind = kindByResource('authorization.k8s.io', 'v1', 'subjectaccessreviews');
  if (kind === undefined) throw new StatusError('Internal', 'there is no kind SubjectAccessReview');
  const group = 'certificates.k8s.io';
  const review = {
    metadata: { name: '' },
    spec: {
      user: spec.username,
      uid: spec.uid,
      groups: spec.groups,
      extra: spec.extra,
      resourceAttributes: { group, resource: 'certificatesigningrequests', verb: 'create', subresource, version: '*' },
    },
  };
  const answer: object = await deps.client.create(kind, review, c);
  const status = 'status' in answer ? answer.status : undefined;
  return typeof status === 'object' && status !== null && 'allowed' in status && status.allowed === true;
}

/** The request's content, or what is wrong with it. */
function read(csr: Request): SigningRequest | string {
  const der = derOfPem('CERTIFICATE REQUEST', Buffer.from(csr.spec.request, 'base64').toString('latin1'));
  if (der === undefined) return 'PEM block type must be CERTIFICATE REQUEST';
  try {
    return parseCsr(der);
  } catch (e) {
    if (isKind(e, 'Invalid')) return e.message;
    throw e;
  }
}

function condition(type: 'Approved' | 'Failed', reason: string, message: string, c: Ctx) {
  const now = timeText(c.clock.now());
  return { type, status: 'True', reason, message, lastUpdateTime: now, lastTransitionTime: now } as const;
}

async function update(deps: Deps, csr: Request, subresource: 'status' | 'approval', c: Ctx): Promise<void> {
  await deps.client.update<CertificateSigningRequest>(Kinds.certificatesigningrequests, csr, c, { subresource });
}
