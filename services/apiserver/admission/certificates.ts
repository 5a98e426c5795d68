/**
 * Who may approve and sign certificate requests, by signer; and that nobody gets a client certificate of superusers or servers.
 * Source: plugin/pkg/admission/certificates/{approval,signing,subjectrestriction}, pkg/apis/certificates authorization.
 */
import { type CertificateSigningRequest, type DeepReadonly, semanticEqual } from '#lib/api';
import { messageOf } from '#lib/base';
import { csrSubject } from '#lib/pki';
import type { Authorizer } from '../authz/authorizer.ts';
import type { AdmissionPlugin, AdmissionRequest } from './chain.ts';
import { refusal } from './refusal.ts';

type Csr = DeepReadonly<CertificateSigningRequest>;

const CLIENT_SIGNER = 'kubernetes.io/kube-apiserver-client';
/** The superusers'; and ours of the servers, whose certificates open streams to every node (services/gateway/subjects.ts). */
const WITHHELD = ['system:masters', 'system:berth-servers'];

function isCsr(request: AdmissionRequest, subresource: string): boolean {
  const { group, resource } = request.kind;
  const isRequest = group === 'certificates.k8s.io' && resource === 'certificatesigningrequests';
  return isRequest && request.subresource === subresource && request.object !== undefined;
}

/** For the signer itself, or for all signers of its domain (`example.com/*`). */
async function mayUseSigner(
  authorizer: Authorizer,
  request: AdmissionRequest,
  verb: 'approve' | 'sign',
  signerName: string,
): Promise<boolean> {
  const domain = `${signerName.split('/')[0]}/*`;
  for (const name of [signerName, domain]) {
    const decision = await authorizer.authorize({
      type: 'resource',
      user: request.user,
      verb,
      group: 'certificates.k8s.io',
      version: '*',
      resource: 'signers',
      subresource: '',
      namespace: '',
      name,
    });
    if (decision.isAllowed) return true;
  }
  return false;
}

export class CertificateApproval implements AdmissionPlugin {
  readonly name = 'CertificateApproval';
  readonly #authorizer: Authorizer;

  constructor(authorizer: Authorizer) {
    this.#authorizer = authorizer;
  }

  async validate(request: AdmissionRequest): Promise<void> {
    if (request.operation !== 'UPDATE' || !isCsr(request, 'approval')) return;
    const { signerName } = (request.previous as Csr).spec;
    if (await mayUseSigner(this.#authorizer, request, 'approve', signerName)) return;
    throw refusal(request, `user not permitted to approve requests with signerName "${signerName}"`);
  }
}

export class CertificateSigning implements AdmissionPlugin {
  readonly name = 'CertificateSigning';
  readonly #authorizer: Authorizer;

  constructor(authorizer: Authorizer) {
    this.#authorizer = authorizer;
  }

  async validate(request: AdmissionRequest): Promise<void> {
    if (request.operation !== 'UPDATE' || !isCsr(request, 'status')) return;
    const before = request.previous as Csr;
    const after = request.object as Csr;
    const isSame =
      before.status?.certificate === after.status?.certificate &&
      semanticEqual(before.status?.conditions ?? [], after.status?.conditions ?? []);
    if (isSame) return;
    const { signerName } = before.spec;
    if (await mayUseSigner(this.#authorizer, request, 'sign', signerName)) return;
    throw refusal(request, `user not permitted to sign requests with signerName "${signerName}"`);
  }
}

export class CertificateSubjectRestriction implements AdmissionPlugin {
  readonly name = 'CertificateSubjectRestriction';

  validate(request: AdmissionRequest): void {
    if (request.operation !== 'CREATE' || !isCsr(request, '')) return;
    const { spec } = request.object as Csr;
    if (spec.signerName !== CLIENT_SIGNER) return;
    const withheld = organizationsOf(request, spec.request).find((group) => WITHHELD.includes(group));
    if (withheld !== undefined)
      throw refusal(request, `use of ${CLIENT_SIGNER} signer with ${withheld} group is not allowed`);
  }
}

const BEGIN = '-----BEGIN CERTIFICATE REQUEST-----';
const END = '-----END CERTIFICATE REQUEST-----';

/** `base64` = of the PEM text. */
function organizationsOf(request: AdmissionRequest, base64: string): readonly string[] {
  const pem = Buffer.from(base64, 'base64').toString('latin1');
  const begin = pem.indexOf(BEGIN);
  const end = pem.indexOf(END, begin);
  if (begin < 0 || end < 0) throw refusal(request, 'failed to parse CSR: PEM block type must be CERTIFICATE REQUEST');
  try {
    return csrSubject(Buffer.from(pem.slice(begin + BEGIN.length, end), 'base64')).organizations;
  } catch (e) {
    throw refusal(request, `failed to parse CSR: ${messageOf(e)}`);
  }
}
