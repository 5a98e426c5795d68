import { X509Certificate } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { type CertificateSigningRequest, Kinds } from '#lib/api';
import { type Ctx, realClock, realRandom, Scope, silentLogger, timeText } from '#lib/base';
import type { UserInfo } from '#lib/client';
import { createCa, createCsr, type KeyPair, parseCsr, pemOf, subjectOf } from '#lib/pki';
import { eventually, startTestServer, type TestServer } from '../../apiserver/testing/server.ts';
import { startControllers } from '../main.ts';
import { approvalsOf, expiresAtMs, SIGNERS, signingFault, validityDays } from './plan.ts';

const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
const NODE = { commonName: 'system:node:a', organizations: ['system:nodes'] };
const CLIENT_USAGES = ['client auth', 'digital signature'];
const SERVER_USAGES = ['server auth', 'digital signature', 'key encipherment'];

type Names = Parameters<typeof createCsr>[0];

async function csrOf(signerName: string, usages: string[], names: Names): Promise<CertificateSigningRequest> {
  const { der } = await createCsr(names);
  const request = Buffer.from(pemOf('CERTIFICATE REQUEST', der)).toString('base64');
  const apiVersion = 'certificates.k8s.io/v1';
  return {
    apiVersion,
    kind: 'CertificateSigningRequest',
    metadata: { name: 'x' },
    spec: { request, signerName, usages },
  };
}

async function fault(signerName: string, usages: string[], names: Names): Promise<string | undefined> {
  const { der } = await createCsr(names);
  return signingFault(await csrOf(signerName, usages, names), parseCsr(der));
}

describe('the rules of the signers (pkg/apis/certificates/helpers.go)', () => {
  test('names that a request asks for are read from it', async () => {
    const { der } = await createCsr({ ...NODE, dnsNames: ['a.example'], ipAddresses: ['10.0.0.1', 'fd00::1'] });
    expect(parseCsr(der)).toMatchObject({
      ...NODE,
      names: {
        dnsNames: ['a.example'],
        ipAddresses: ['10.0.0.1', 'fd00:0:0:0:0:0:0:1'],
        emails: [],
        uris: [],
        otherCount: 0,
      },
    });
  });

  test.each([
    [SIGNERS.client, CLIENT_USAGES, { commonName: 'jane' }, undefined],
    [SIGNERS.client, ['client auth', 'server auth'], { commonName: 'jane' }, 'usages did not match'],
    [SIGNERS.client, ['digital signature'], { commonName: 'jane' }, 'usages did not match'],
    [SIGNERS.nodeClient, CLIENT_USAGES, NODE, undefined],
    [SIGNERS.nodeClient, [...CLIENT_USAGES, 'key encipherment'], NODE, undefined],
    [SIGNERS.nodeClient, ['client auth'], NODE, 'usages did not match'],
    [SIGNERS.nodeClient, CLIENT_USAGES, { ...NODE, commonName: 'jane' }, 'common name does not begin'],
    [
      SIGNERS.nodeClient,
      CLIENT_USAGES,
      { ...NODE, organizations: ['system:masters'] },
      'organization is not system:nodes',
    ],
    [SIGNERS.nodeClient, CLIENT_USAGES, { ...NODE, organizations: ['system:nodes', 'x'] }, 'organization is not'],
    [SIGNERS.nodeClient, CLIENT_USAGES, { ...NODE, dnsNames: ['a'] }, 'DNS subjectAltNames are not allowed'],
    [SIGNERS.nodeServing, SERVER_USAGES, { ...NODE, ipAddresses: ['10.0.0.1'] }, undefined],
    [SIGNERS.nodeServing, SERVER_USAGES, NODE, 'DNS or IP subjectAltName is required'],
    [SIGNERS.nodeServing, CLIENT_USAGES, { ...NODE, dnsNames: ['a'] }, 'usages did not match'],
    ['kubernetes.io/legacy-unknown', CLIENT_USAGES, NODE, 'is not one of'],
    ['example.com/own', CLIENT_USAGES, NODE, 'is not one of'],
  ])('%s for %j of %j: %s', async (signer, usages, names, why) => {
    const found = await fault(signer, usages, names);
    if (why === undefined) expect(found).toBeUndefined();
    else expect(found).toContain(why);
  });

  test("only nodes' client certificates may be approved without a person", async () => {
    const of = async (signer: string, usages: string[], names: Names, username: string) => {
      const csr = await csrOf(signer, usages, names);
      const asked = parseCsr((await createCsr(names)).der);
      return approvalsOf({ ...csr, spec: { ...csr.spec, username } }, asked).map((a) => a.permission);
    };
    expect(await of(SIGNERS.nodeClient, CLIENT_USAGES, NODE, 'system:node:a')).toEqual([
      'selfnodeclient',
      'nodeclient',
    ]);
    expect(await of(SIGNERS.nodeClient, CLIENT_USAGES, NODE, 'system:bootstrap:x')).toEqual(['nodeclient']);
    expect(await of(SIGNERS.nodeClient, ['client auth'], NODE, 'system:node:a')).toEqual([]);
    expect(await of(SIGNERS.client, CLIENT_USAGES, NODE, 'system:node:a')).toEqual([]);
    expect(await of(SIGNERS.nodeServing, SERVER_USAGES, { ...NODE, dnsNames: ['a'] }, 'system:node:a')).toEqual([]);
  });

  test('validity and the end of old requests', async () => {
    const csr = await csrOf(SIGNERS.client, CLIENT_USAGES, { commonName: 'a' });
    const seconds = (expirationSeconds: number) => validityDays({ ...csr, spec: { ...csr.spec, expirationSeconds } });
    expect([validityDays(csr), seconds(86_400), seconds(1), seconds(1e9)]).toEqual([365, 1, 600 / 86_400, 365]);
    const metadata = { name: 'x', creationTimestamp: '2026-01-01T00:00:00Z' };
    const decided = { type: 'Approved', status: 'True', lastUpdateTime: '2026-01-01T05:00:00Z' };
    expect(timeText(expiresAtMs({ ...csr, metadata }))).toBe('2026-01-02T00:00:00Z');
    expect(timeText(expiresAtMs({ ...csr, metadata, status: { conditions: [decided] } }))).toBe('2026-01-01T06:00:00Z');
  });
});

interface World {
  readonly server: TestServer;
  readonly ca: KeyPair;
  make(name: string, user: UserInfo, csr: CertificateSigningRequest): Promise<void>;
  read(name: string): Promise<CertificateSigningRequest>;
  approve(name: string): Promise<void>;
}

async function withControllers(fn: (w: World) => Promise<void>): Promise<void> {
  await using scope = new Scope('test');
  const server = scope.own(await startTestServer());
  const ca = await createCa('signer');
  const common = { client: server.client, clock: realClock, random: realRandom, log: silentLogger };
  scope.own(await startControllers({ ...common, config: { authority: ca } }));
  const kind = Kinds.certificatesigningrequests;
  const read = async (name: string) =>
    (await server.client.get(kind, { namespace: '', name }, c)) as CertificateSigningRequest;
  await fn({
    server,
    ca,
    read,
    make: async (name, user, { metadata: _, ...csr }) => {
      await server.as(user).create(kind, { ...csr, metadata: { name } }, c);
    },
    approve: async (name) => {
      const approved = { type: 'Approved', status: 'True', reason: 'Test', message: 'by hand' } as const;
      const status = { conditions: [approved] };
      await server.client.update(kind, { ...(await read(name)), status }, c, { subresource: 'approval' });
    },
  });
}

const MASTERS = { groups: ['system:masters', 'system:authenticated'] };

describe('certificate signing requests', () => {
  test('signed once approved; what the requester says of itself is the server’s word', async () => {
    await withControllers(async ({ ca, make, read, approve }) => {
      const csr = await csrOf(SIGNERS.client, CLIENT_USAGES, { commonName: 'jane', organizations: ['dev'] });
      const spec = { ...csr.spec, username: 'forged', groups: ['forged'], expirationSeconds: 3_600 };
      const extra = { k: ['v'] };
      const status = { certificate: Buffer.from('forged').toString('base64') };
      await make('jane', { name: 'maker', uid: '7', ...MASTERS, extra }, { ...csr, spec, status });
      const made = await read('jane');
      expect(made.spec).toMatchObject({ username: 'maker', uid: '7', groups: MASTERS.groups, extra });
      expect(made.status?.certificate).toBeUndefined();
      await approve('jane');
      await eventually(async () => {
        const pem = Buffer.from((await read('jane')).status?.certificate ?? '', 'base64').toString();
        const certificate = new X509Certificate(pem);
        expect(certificate.verify(new X509Certificate(ca.certPem).publicKey)).toBe(true);
        expect(subjectOf(certificate)).toEqual({ commonName: 'jane', organizations: ['dev'] });
        const leftMs = Date.parse(certificate.validTo) - realClock.now();
        expect(leftMs).toBeLessThanOrEqual(3_600_000);
        expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.2']);
      });
    });
  });

  test('an approved one that breaks its signer’s rules fails, and is not signed', async () => {
    await withControllers(async ({ make, read, approve }) => {
      await make('bad', { name: 'm', ...MASTERS }, await csrOf(SIGNERS.nodeServing, SERVER_USAGES, NODE));
      await approve('bad');
      await eventually(async () => {
        const { status } = await read('bad');
        expect(status?.conditions?.map((x) => [x.type, x.reason, x.message])).toEqual([
          ['Approved', 'Test', 'by hand'],
          ['Failed', 'SignerValidationFailure', 'DNS or IP subjectAltName is required'],
        ]);
        expect(status?.certificate).toBeUndefined();
      });
    });
  });

  test("a node's client certificate is approved for whoever may have it; its serving certificate waits for a person", async () => {
    await withControllers(async ({ make, read }) => {
      const csr = await csrOf(SIGNERS.nodeClient, CLIENT_USAGES, NODE);
      await make('mine', { name: 'system:node:a', ...MASTERS }, csr);
      await eventually(async () => {
        const { status } = await read('mine');
        expect(status?.conditions).toMatchObject([
          { type: 'Approved', reason: 'AutoApproved', message: expect.stringContaining('self kubelet client') },
        ]);
        expect(status?.certificate).toBeDefined();
      });
      await make(
        'serving',
        { name: 'system:node:a', ...MASTERS },
        await csrOf(SIGNERS.nodeServing, SERVER_USAGES, { ...NODE, dnsNames: ['a'] }),
      );
      await make('later', { name: 'system:node:b', ...MASTERS }, csr);
      await eventually(async () => expect((await read('later')).status?.certificate).toBeDefined());
      expect((await read('serving')).status?.conditions ?? []).toEqual([]);
    });
  });
});
