import { describe, expect, test } from 'vitest';
import { type CertificateSigningRequest, type DeepReadonly, Kinds, type KubeObject, kindInfo } from '#lib/api';
import { messageOf } from '#lib/base';
import { createCsr, pemOf } from '#lib/pki';
import type { Attributes, Authorizer } from '../authz/authorizer.ts';
import { CertificateApproval, CertificateSigning, CertificateSubjectRestriction } from './certificates.ts';
import type { AdmissionRequest } from './chain.ts';

const CLIENT = 'kubernetes.io/kube-apiserver-client';

/** Allows the named signers, and remembers what it was asked. */
function allowing(...names: string[]): Authorizer & { readonly asked: Attributes[] } {
  const asked: Attributes[] = [];
  return {
    asked,
    authorize: (a) => {
      asked.push(a);
      return { isAllowed: a.type === 'resource' && names.includes(a.name), reason: '' };
    },
  };
}

function csr(o: { request?: string; status?: CertificateSigningRequest['status'] } = {}): CertificateSigningRequest {
  const spec = { request: o.request ?? '', signerName: CLIENT };
  const metadata = { name: 'r' };
  const kind = 'CertificateSigningRequest';
  return { apiVersion: 'certificates.k8s.io/v1', kind, metadata, spec, ...(o.status && { status: o.status }) };
}

function request(subresource: string, object: KubeObject, previous?: DeepReadonly<KubeObject>): AdmissionRequest {
  return {
    operation: previous === undefined ? 'CREATE' : 'UPDATE',
    kind: kindInfo(Kinds.certificatesigningrequests),
    subresource,
    namespace: '',
    name: 'r',
    user: { name: 'u', groups: [] },
    dryRun: false,
    object,
    previous,
    warn: () => undefined,
  };
}

async function outcome(call: () => Promise<void> | void): Promise<string> {
  try {
    await call();
    return 'admitted';
  } catch (e) {
    return messageOf(e);
  }
}

async function requestFor(organizations: string[]): Promise<string> {
  const { der } = await createCsr({ commonName: 'x', organizations });
  return Buffer.from(pemOf('CERTIFICATE REQUEST', der)).toString('base64');
}

describe('certificate admission (plugin/pkg/admission/certificates)', () => {
  test('approval needs `approve` on the signer or on its domain', async () => {
    const nobody = allowing();
    const call = (authorizer: Authorizer): Promise<string> =>
      outcome(() => new CertificateApproval(authorizer).validate(request('approval', csr(), csr())));
    expect(await call(nobody)).toBe(
      `certificatesigningrequests.certificates.k8s.io "r" is forbidden: user not permitted to approve requests with signerName "${CLIENT}"`,
    );
    expect(nobody.asked).toMatchObject([
      { verb: 'approve', group: 'certificates.k8s.io', resource: 'signers', name: CLIENT },
      { verb: 'approve', resource: 'signers', name: 'kubernetes.io/*' },
    ]);
    expect(await call(allowing(CLIENT))).toBe('admitted');
    expect(await call(allowing('kubernetes.io/*'))).toBe('admitted');
  });

  test('signing is asked only when certificate or conditions change', async () => {
    const plugin = new CertificateSigning(allowing());
    const signed = csr({ status: { certificate: 'eA==' } });
    expect(await outcome(() => plugin.validate(request('status', csr(), csr())))).toBe('admitted');
    expect(await outcome(() => plugin.validate(request('status', signed, csr())))).toContain(
      `user not permitted to sign requests with signerName "${CLIENT}"`,
    );
    const may = new CertificateSigning(allowing(CLIENT));
    expect(await outcome(() => may.validate(request('status', signed, csr())))).toBe('admitted');
  });

  test.each(['system:masters', 'system:berth-servers'])('no client certificate for %s', async (group) => {
    const plugin = new CertificateSubjectRestriction();
    const masters = csr({ request: await requestFor(['a', group]) });
    expect(await outcome(() => plugin.validate(request('', masters)))).toContain(
      `use of ${CLIENT} signer with ${group} group is not allowed`,
    );
    const other = { ...masters, spec: { ...masters.spec, signerName: 'example.com/x' } };
    expect(await outcome(() => plugin.validate(request('', other)))).toBe('admitted');
    const plain = csr({ request: await requestFor(['a']) });
    expect(await outcome(() => plugin.validate(request('', plain)))).toBe('admitted');
  });

  test.each([
    ['no PEM', Buffer.from('x').toString('base64')],
    ['no DER', Buffer.from(pemOf('CERTIFICATE REQUEST', Buffer.from([1, 2, 3]))).toString('base64')],
    ['an empty block', Buffer.from(pemOf('CERTIFICATE REQUEST', Buffer.alloc(0))).toString('base64')],
  ])('a request that cannot be read is refused: %s', async (_, text) => {
    const plugin = new CertificateSubjectRestriction();
    expect(await outcome(() => plugin.validate(request('', csr({ request: text }))))).toContain(
      'failed to parse CSR: ',
    );
  });
});
