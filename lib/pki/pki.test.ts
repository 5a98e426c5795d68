import { execFileSync } from 'node:child_process';
import { createHash, createPrivateKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, createServer, type TLSSocket } from 'node:tls';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isKind, realRandom, seededRandom, VirtualClock } from '#lib/base';
import { elements, integer, ipBytes, oid, oidText, tlv } from './der.ts';
import {
  caHash,
  createCa,
  createCsr,
  issue,
  joinText,
  newToken,
  parseCsr,
  parseJoinText,
  renewAt,
  secretHash,
  secretMatches,
  signCsr,
  splitToken,
  subjectOf,
} from './index.ts';

describe('DER', () => {
  test('tlv and elements are inverse, at every length form', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 70_000, size: 'max' }), (bytes) => {
        const [e, ...rest] = elements(tlv(0x04, bytes));
        expect(rest).toEqual([]);
        expect(e?.content.equals(Buffer.from(bytes))).toBe(true);
      }),
      { numRuns: 30 },
    );
  });

  test('elements never does anything but answer or throw Invalid', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        try {
          elements(Buffer.from(bytes));
        } catch (e) {
          expect(isKind(e, 'Invalid')).toBe(true);
        }
      }),
    );
  });

  test('object identifiers and integers', () => {
    for (const id of ['1.2.840.10045.4.3.2', '2.5.29.17', '2.999.3', '1.3.6.1.5.5.7.3.1'])
      expect(oidText(elements(oid(id))[0]?.content ?? Buffer.alloc(0))).toBe(id);
    expect(integer(Buffer.from([0x80])).toString('hex')).toBe('02020080');
    expect(integer(Buffer.from([0, 0, 5])).toString('hex')).toBe('020105');
  });

  test('addresses as bytes', () => {
    expect(ipBytes('10.1.2.255')).toEqual(Buffer.from([10, 1, 2, 255]));
    expect(ipBytes('::1').toString('hex')).toBe(`${'0'.repeat(31)}1`);
    expect(ipBytes('fd00::a:0:1').toString('hex')).toBe('fd000000000000000000000a00000001');
    expect(ipBytes('::ffff:1.2.3.4').subarray(12)).toEqual(Buffer.from([1, 2, 3, 4]));
    expect(() => ipBytes('1.2.3')).toThrow(/no IP/);
  });
});

describe('certificates', () => {
  test('a leaf verifies under its CA, names its subject, is no CA and ends no later than the CA', async () => {
    const ca = await createCa('berth test', { days: 10 });
    const leaf = await issue(ca, {
      commonName: 'system:node:a',
      organizations: ['system:nodes', 'other'],
      dnsNames: ['a.example', '*.b.example'],
      ipAddresses: ['127.0.0.1', '::1'],
      usages: ['server', 'client'],
      days: 100,
    });
    const cert = new X509Certificate(leaf.certPem);
    const root = new X509Certificate(ca.certPem);
    expect([cert.verify(root.publicKey), cert.checkIssued(root), cert.ca, root.ca]).toEqual([true, true, false, true]);
    expect(subjectOf(cert)).toEqual({ commonName: 'system:node:a', organizations: ['system:nodes', 'other'] });
    expect(cert.subjectAltName).toBe(
      'DNS:a.example, DNS:*.b.example, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1',
    );
    expect(Date.parse(cert.validTo)).toBeLessThanOrEqual(Date.parse(root.validTo) + 1000);
    const other = await createCa('berth test');
    expect(cert.verify(new X509Certificate(other.certPem).publicKey)).toBe(false);
  });

  test('a subject is what it says, whatever characters it holds', async () => {
    const ca = await createCa('berth test');
    const commonName = 'doe, jane+x\\"\nO=system:masters';
    const organizations = ['a, b', ' c ', 'é#'];
    const leaf = await issue(ca, { commonName, organizations, usages: ['client'], days: 1 });
    expect(subjectOf(new X509Certificate(leaf.certPem))).toEqual({ commonName, organizations });
  });

  test('openssl accepts the chain strictly, and its hash of the CA key is ours', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'berth-pki-'));
    try {
      const ca = await createCa('berth test');
      const leaf = await issue(ca, { commonName: 'x', dnsNames: ['x'], usages: ['server'], days: 30 });
      writeFileSync(join(folder, 'ca.pem'), ca.certPem);
      writeFileSync(join(folder, 'leaf.pem'), leaf.certPem);
      const run = (...args: string[]): Buffer => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
      const verified = run('verify', '-x509_strict', '-purpose', 'sslserver', '-CAfile', 'ca.pem', 'leaf.pem');
      expect(verified.toString()).toContain('leaf.pem: OK');
      expect(() => run('verify', '-x509_strict', '-purpose', 'sslclient', '-CAfile', 'ca.pem', 'leaf.pem')).toThrow();
      run('x509', '-in', 'ca.pem', '-pubkey', '-noout', '-out', 'pub.pem');
      const spki = run('pkey', '-pubin', '-in', 'pub.pem', '-outform', 'der');
      expect(caHash(ca.certPem)).toBe(`sha256:${createHash('sha256').update(spki).digest('hex')}`);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('mutual TLS works with them, and another CA is refused', async () => {
    const ca = await createCa('berth test');
    const server = await issue(ca, { commonName: 's', ipAddresses: ['127.0.0.1'], usages: ['server'], days: 1 });
    const client = await issue(ca, {
      commonName: 'admin',
      organizations: ['system:masters'],
      usages: ['client'],
      days: 1,
    });
    const listener = createServer({ key: server.keyPem, cert: server.certPem, ca: ca.certPem, requestCert: true });
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const address = listener.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const accepted = once(listener, 'secureConnection');
    const socket = connect({ port, host: '127.0.0.1', ca: ca.certPem, key: client.keyPem, cert: client.certPem });
    await once(socket, 'secureConnect');
    const [peer] = (await accepted) as [TLSSocket];
    expect(peer.getPeerCertificate().subject.CN).toBe('admin');
    socket.destroy();
    const foreign = await createCa('berth test');
    const refused = connect({ port, host: '127.0.0.1', ca: foreign.certPem });
    const [error] = (await once(refused, 'error')) as [Error];
    expect(error.message).toMatch(/certificate|signature|self/i);
    listener.close();
  });

  test('renewAt is two thirds into the life', async () => {
    const clock = new VirtualClock();
    const ca = await createCa('berth test', { clock, days: 30 });
    expect((renewAt(ca.certPem) - clock.now()) / 86_400_000).toBeCloseTo(20, 1);
  });
});

describe('signing requests', () => {
  test("the signed certificate has the request key and the signer's subject", async () => {
    const ca = await createCa('berth test');
    const { der, keyPem } = await createCsr({ commonName: 'system:node:mine', organizations: ['system:masters'] });
    expect(parseCsr(der)).toMatchObject({ commonName: 'system:node:mine', organizations: ['system:masters'] });
    const pem = signCsr(ca, der, {
      commonName: 'system:node:a',
      organizations: ['system:nodes'],
      usages: ['client'],
      days: 1,
    });
    const cert = new X509Certificate(pem);
    expect(subjectOf(cert)).toEqual({ commonName: 'system:node:a', organizations: ['system:nodes'] });
    expect(cert.checkPrivateKey(createPrivateKey(keyPem))).toBe(true);
  });

  test('a changed request is refused, whatever byte changes', async () => {
    const { der } = await createCsr({ commonName: 'x' });
    for (let i = 0; i < der.byteLength; i++) {
      const bad = Buffer.from(der);
      bad[i] = (bad[i] ?? 0) ^ 0x01;
      expect(() => parseCsr(bad), `byte ${i}`).toThrow();
    }
  });

  test('a request made by openssl is read', () => {
    const folder = mkdtempSync(join(tmpdir(), 'berth-csr-'));
    try {
      const args = 'req -new -newkey rsa:2048 -nodes -keyout k.pem -outform der -out r.der -subj /O=team/CN=jane';
      execFileSync('openssl', args.split(' '), { cwd: folder, stdio: 'pipe' });
      const der = execFileSync('cat', [join(folder, 'r.der')]);
      expect(parseCsr(der)).toMatchObject({ commonName: 'jane', organizations: ['team'] });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('join tokens', () => {
  test('token, hash and join text come back', () => {
    const token = newToken(realRandom);
    expect(splitToken(token)).toEqual({ id: token.slice(0, 6), secret: token.slice(7) });
    expect(secretMatches(token, secretHash(token))).toBe(true);
    expect(secretMatches(newToken(realRandom), secretHash(token))).toBe(false);
    expect(secretMatches(token, 'no hash')).toBe(false);
    const info = { endpoints: ['10.0.0.1:6444'], token, caHash: `sha256:${'a'.repeat(64)}` };
    expect(parseJoinText(`${joinText(info)}\n`)).toEqual(info);
  });

  test('anything else is refused', () => {
    const good = joinText({ endpoints: ['a:1'], token: newToken(seededRandom(1)), caHash: `sha256:${'a'.repeat(64)}` });
    for (const bad of ['', 'berth1.', 'berth1.e30', good.slice(0, -9), good.slice(1), 'abcdef.0123456789abcdef'])
      expect(() => parseJoinText(bad), bad).toThrow(/join text/);
    for (const bad of ['', 'a.b', 'ABCDEF.0123456789abcdef', 'abcdef.0123456789abcdefg'])
      expect(() => splitToken(bad), bad).toThrow(/join token/);
  });
});
