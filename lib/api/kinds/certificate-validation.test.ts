import { describe, expect, test } from 'vitest';
import { Kinds } from '../gen/kinds.ts';
import type { CertificateSigningRequest } from '../gen/types/certificates-v1.ts';
import { created, createErrors, updateErrors } from '../testing/prepared.ts';

const kind = Kinds.certificatesigningrequests;
const pem = (type: string): string =>
  Buffer.from(`-----BEGIN ${type}-----\nAAAA\n-----END ${type}-----\n`).toString('base64');
const spec = { request: pem('CERTIFICATE REQUEST'), signerName: 'a.io/b', usages: ['client auth'] };
const csr = (s: object = {}): object => ({ metadata: { name: 'X y' }, spec: { ...spec, ...s } });
const errors = (s: object): string[] => createErrors(kind, csr(s));

describe('certificate signing requests', () => {
  test('request, usages, lifetime; any name', () => {
    expect(errors({})).toEqual([]);
    expect(errors({ request: pem('CERTIFICATE') })[0]).toMatch(/: PEM block type must be CERTIFICATE REQUEST$/);
    expect(errors({ usages: [] })).toEqual(['spec.usages: Required value']);
    expect(errors({ usages: ['signing', 'signing', 'x'], expirationSeconds: 599 })).toEqual([
      expect.stringMatching(/^spec\.usages\[2\]: Unsupported value: "x": supported values: "any", "cert sign", /),
      'spec.usages[1]: Duplicate value: "signing"',
      'spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 600 seconds (10 minutes)',
    ]);
  });

  test('signer names', () => {
    const signer = (signerName: string): string[] => errors({ signerName });
    expect(signer('')).toEqual(['spec.signerName: Required value']);
    expect(signer('a')).toEqual([
      `spec.signerName: Invalid value: "a": must be a fully qualified domain and path of the form 'example.com/signer-name'`,
    ]);
    expect(signer('a/b')).toEqual([
      'spec.signerName: Invalid value: "a": should be a domain with at least two segments separated by dots',
    ]);
    expect(signer('A.io/b')[0]).toMatch(
      /^spec\.signerName: Invalid value: "A\.io": validating label "A": a lowercase RFC 1123 label/,
    );
    expect(signer('kubernetes.io/legacy-unknown')).toEqual([
      'spec.signerName: Invalid value: "kubernetes.io/legacy-unknown": the legacy signerName is not allowed via this API version',
    ]);
  });

  test('who may write what', () => {
    const old = created(kind, csr());
    const approved = { type: 'Approved', status: 'True' };
    const put = (subresource: string, from: object[], status: object): string[] => {
      old.status = { conditions: from as NonNullable<CertificateSigningRequest['status']>['conditions'] };
      return updateErrors(kind, old, (c) => Object.assign(c, { status }), subresource);
    };
    expect(put('approval', [], { conditions: [approved] })).toEqual([]);
    expect(put('approval', [], { conditions: [approved, { type: 'Denied', status: 'False' }] })).toEqual([
      'status.conditions[1].status: Unsupported value: "False": supported values: "True"',
      'status.conditions: Invalid value: "Denied": Approved and Denied conditions are mutually exclusive',
    ]);
    expect(put('approval', [approved], { conditions: [] })).toEqual([
      'status.conditions: Forbidden: updates may not remove a condition of type "Approved"',
    ]);
    expect(put('status', [], { conditions: [approved] })).toEqual([
      'status.conditions: Forbidden: updates may not add a condition of type "Approved"',
    ]);
    expect(put('status', [approved], { conditions: [{ ...approved, reason: 'changed' }] })).toEqual([]);
    expect(put('status', [approved], { conditions: [approved], certificate: pem('X') })).toEqual([
      'status.certificate: Invalid value: "<certificate data>": only CERTIFICATE PEM blocks are allowed, found "X"',
    ]);
    expect(put('status', [approved], { conditions: [approved], certificate: pem('CERTIFICATE') })).toEqual([
      'status.certificate: Invalid value: "<certificate data>": x509: malformed certificate',
    ]);
  });
});
