/**
 * Settings of a node's registries against real ones: an authority of our own, client certificates, mirrors that fail, a proxy
 * that counts. The image is unpacked, mounted and its program run. Needs root.
 */
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { type Ctx, realClock, realRandom, silentLogger } from '#lib/base';
import { DistributionClient, packImage, proxiesOf, pushPacked } from '#lib/oci';
import { createCa, issue, type KeyPair } from '#lib/pki';
import type { Images, RegistryCredentials } from '../../agent/images/images.ts';
import { openImages } from '../../agent/images/open.ts';
import type { Kernel } from '../../agent/kernel/kernel.ts';
import { openKernel } from '../../agent/kernel/linux/open.ts';
import { type Registry, startRegistry } from '../../services/registry/registry.ts';

const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
const helperPath = join(import.meta.dirname, '../../dist/berth-helper');
/** A name that no resolver knows: who reaches it went through the proxy or a mirror. */
const NAME = 'registry.invalid';
let folder: string;
let kernel: Kernel;
let plain: Registry;
let secure: Registry;
let ca: KeyPair;
let images: Images & AsyncDisposable;
let proxy: { server: Server; asked: string[]; authorizations: (string | undefined)[] };

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-registries-'));
  kernel = await openKernel({ helperPath });
  const base = { folder: join(folder, 'registry'), log: silentLogger, clock: realClock, random: realRandom };
  plain = await startRegistry({ ...base, listen: { host: '127.0.0.1', port: 0 } });
  ca = await createCa('an authority of ours');
  const own = await issue(ca, {
    commonName: NAME,
    dnsNames: [NAME, 'localhost'],
    ipAddresses: ['127.0.0.1'],
    usages: ['server'],
    days: 1,
  });
  const tls = { key: own.keyPem, cert: own.certPem };
  secure = await startRegistry({ ...base, listen: { host: '127.0.0.1', port: 0 }, tls });
  await push(plain.host);
  proxy = await countingProxy();
});
afterAll(async () => {
  proxy.server.closeAllConnections();
  proxy.server.close();
  await plain[Symbol.asyncDispose]();
  await secure[Symbol.asyncDispose]();
  await kernel[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  await rm(join(folder, 'certs.d'), { recursive: true, force: true });
  proxy.asked.length = 0;
  proxy.authorizations.length = 0;
  const home = await mkdtemp(join(folder, 'home-'));
  images = await open(home);
  return () => images[Symbol.asyncDispose]();
});

test('an authority of our own, by hosts.toml: refused without it, and its program runs with it', async () => {
  await expect(pull(secure.host, `server = "https://${secure.host}"`)).rejects.toThrow(/certificate/);
  await writeFile(join(await settingsOf(secure.host), 'ca.pem'), ca.certPem);
  await runs(await pull(secure.host, `server = "https://${secure.host}"\nca = "ca.pem"`));
});

test('skip_verify, and Docker’s form of an authority without a hosts.toml', async () => {
  await pull(secure.host, `server = "https://${secure.host}"\nskip_verify = true`);
  await images.remove(`${secure.host}/app:v1`, c);
  await rm(join(await settingsOf(secure.host), 'hosts.toml'));
  await writeFile(join(await settingsOf(secure.host), 'own.crt'), ca.certPem);
  await pull(secure.host);
});

test('a client certificate is shown, where the registry asks for one', async () => {
  const seen: string[] = [];
  const own = await issue(ca, { commonName: 'r', ipAddresses: ['127.0.0.1'], usages: ['server'], days: 1 });
  const server = createTlsServer({ key: own.keyPem, cert: own.certPem, ca: ca.certPem, requestCert: true }, (q, s) => {
    seen.push((q.socket as TLSSocket).getPeerCertificate().subject.CN as string);
    s.writeHead(404).end('{"errors":[{"code":"MANIFEST_UNKNOWN","message":"none"}]}');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const at = await settingsOf(host);
  const client = await issue(ca, { commonName: 'node-a', usages: ['client'], days: 1 });
  await writeFile(join(at, 'ca.pem'), ca.certPem);
  await writeFile(join(at, 'client.pem'), client.certPem);
  await writeFile(join(at, 'client.key'), client.keyPem);
  const toml = `server = "https://${host}"\nca = "ca.pem"\nclient = [["client.pem", "client.key"]]`;
  await expect(pull(host, toml)).rejects.toMatchObject({ kind: 'NotFound' });
  await writeFile(join(at, 'both.pem'), client.certPem + client.keyPem);
  const both = `server = "https://${host}"\nca = "ca.pem"\nclient = "both.pem"`;
  await expect(pull(host, both)).rejects.toMatchObject({ kind: 'NotFound' });
  expect(seen).toEqual(['node-a', 'node-a']);
  server.closeAllConnections();
  server.close();
});

test('mirrors in their order: one that is down, one that lacks the image, one that has it', async () => {
  const asked: string[] = [];
  await using empty = await answering((url) => {
    asked.push(url);
    return { status: 404 };
  });
  const down = await freePort();
  const toml = [`http://127.0.0.1:${down}`, `http://${empty.host}`, `http://${plain.host}`].map((u) => `[host."${u}"]`);
  await runs(await pull(NAME, toml.join('\n')));
  expect(asked[0]).toBe(`/v2/app/manifests/v1?ns=${NAME}`);
});

test('a mirror that gives wrong bytes, or ends in the middle, is not believed: the registry gives the rest', async () => {
  const lies: string[] = [];
  await using liar = await answering(async (url) => {
    if (!url.includes('/blobs/')) return pass(url);
    lies.push(url);
    const { body, ...rest } = await pass(url);
    if (lies.length === 1) return { ...rest, body: Buffer.alloc(body.length, 0x41) };
    return { ...rest, body: body.subarray(0, 100), isCut: true };
  });
  await runs(await pull(NAME, `server = "http://${plain.host}"\n[host."http://${liar.host}"]`));
  expect(lies.length).toBeGreaterThan(1);
});

test('capabilities: a mirror that may not resolve is asked for blobs alone; headers are its own', async () => {
  const asked: string[] = [];
  await using mirror = await answering((url, headers) => {
    asked.push(`${headers['x-team']} ${url.split('/').slice(2, 4).join('/')}`);
    return pass(url);
  });
  const own = `[host."http://${mirror.host}"]\ncapabilities = ["pull"]\n[host."http://${mirror.host}".header]\nx-team = "a"`;
  await pull(NAME, `server = "http://${plain.host}"\n${own}`);
  expect(new Set(asked)).toEqual(new Set(['a app/blobs']));
});

test('a mistake names file and key and stops its own registry alone; it is mended without a restart', async () => {
  await expect(pull(NAME, '[host."http://m"]\nskip_verify = 1')).rejects.toThrow(
    `registry settings ${folder}/certs.d/${NAME}/hosts.toml: host."http://m".skip_verify: true or false is wanted`,
  );
  await expect(pull(NAME, 'ca = "none.pem"')).rejects.toThrow(/hosts\.toml: ca: .*none\.pem is not there/);
  await writeFile(join(await settingsOf(NAME), 'bad.pem'), 'no certificate');
  await expect(pull(NAME, 'ca = "bad.pem"')).rejects.toThrow(/hosts\.toml: ca: .*no certificate/);
  await pull(plain.host);
  await pull(NAME, `server = "http://${plain.host}"`);
});

test('_default serves registries without settings of their own', async () => {
  await settingsOf('_default');
  await writeFile(join(folder, 'certs.d/_default/hosts.toml'), `[host."http://${plain.host}"]`);
  await pull('any.invalid');
});

test('what all places say is told, the registry’s own words first', async () => {
  const down = await freePort();
  const failed = pull(NAME, `server = "http://${plain.host}"\n[host."http://127.0.0.1:${down}"]`, 'app:none');
  await expect(failed).rejects.toMatchObject({ kind: 'NotFound' });
  await expect(failed).rejects.toThrow(/manifest unknown.*asked as well: 127\.0\.0\.1:\d+: .*ECONNREFUSED/);
});

test('https goes through the proxy by CONNECT, http by its whole URL, NO_PROXY goes past it', async () => {
  const at = `http://user:secret@127.0.0.1:${(proxy.server.address() as AddressInfo).port}`;
  const environment = { HTTPS_PROXY: at, HTTP_PROXY: at, NO_PROXY: 'past.invalid' };
  await images[Symbol.asyncDispose]();
  images = await open(await mkdtemp(join(folder, 'home-')), environment);
  await writeFile(join(await settingsOf(NAME), 'ca.pem'), ca.certPem);
  await runs(await pull(NAME, `server = "https://${NAME}"\nca = "ca.pem"`));
  expect(new Set(proxy.asked)).toEqual(new Set([`CONNECT ${NAME}:443`]));
  expect(new Set(proxy.authorizations)).toEqual(new Set([`Basic ${btoa('user:secret')}`]));
  proxy.asked.length = 0;
  await pull('plain.invalid', 'server = "http://plain.invalid"');
  expect(proxy.asked[0]).toBe('GET http://plain.invalid/v2/app/manifests/v1');
  proxy.asked.length = 0;
  await expect(pull('past.invalid')).rejects.toThrow(/past\.invalid/);
  await pull(plain.host);
  expect(proxy.asked).toEqual([]);
});

test('credentials go to the place they are for', async () => {
  const seen: (string | undefined)[] = [];
  await using mirror = await answering((url, headers) => {
    seen.push(headers['authorization']);
    if (headers['authorization'] === undefined) return { status: 401, challenge: 'Basic realm="m"' };
    return pass(url);
  });
  await writeFile(join(await settingsOf(NAME), 'hosts.toml'), `[host."http://${mirror.host}"]`);
  const known: Record<string, RegistryCredentials> = { [mirror.host]: { username: 'm', password: 'p' } };
  await images.pull(`${NAME}/app:v1`, { credentials: (host) => known[host] }, c);
  expect(seen.slice(0, 2)).toEqual([undefined, `Basic ${btoa('m:p')}`]);
});

async function pull(registry: string, toml?: string, name = 'app:v1') {
  if (toml !== undefined) await writeFile(join(await settingsOf(registry), 'hosts.toml'), toml);
  return images.pull(`${registry}/${name}`, {}, c);
}

async function settingsOf(registry: string): Promise<string> {
  const at = join(folder, 'certs.d', registry);
  await mkdir(at, { recursive: true });
  return at;
}

async function runs(image: Awaited<ReturnType<Images['pull']>>): Promise<void> {
  const root = await images.mountRoot('r', image, c);
  const out = await kernel.programs.run(['chroot', root, '/bin/busybox', 'cat', '/hello'], {}, c);
  await images.removeRoot('r', c);
  expect(out.stdout.toString()).toBe('hello');
}

function open(home: string, environment: Record<string, string> = {}): Promise<Images & AsyncDisposable> {
  const base = { kernel, folder: home, clock: realClock, random: realRandom, log: silentLogger };
  return openImages({ ...base, certsFolder: join(folder, 'certs.d'), proxy: proxiesOf(environment) }, c);
}

async function push(host: string): Promise<void> {
  await using client = new DistributionClient({ random: realRandom });
  const busybox = await readFile('/bin/busybox');
  const image = await packImage({
    entries: [
      { type: 'file', path: 'bin/busybox', data: busybox, mode: 0o755 },
      { type: 'file', path: 'hello', data: Buffer.from('hello') },
    ],
    config: { cmd: ['/bin/busybox'] },
  });
  await pushPacked(client.repository(host, 'app'), 'v1', image, c);
}

/** Counts requests; a tunnel to any name leads to the registry with TLS, a whole URL to the plain one. */
async function countingProxy(): Promise<typeof proxy> {
  const asked: string[] = [];
  const authorizations: (string | undefined)[] = [];
  const server = createServer((req, res) => {
    asked.push(`${req.method} ${req.url}`);
    const { pathname, search } = new URL(req.url ?? '');
    pass(`${pathname}${search}`).then(
      (a) => res.writeHead(a.status, { 'content-type': a.type ?? '' }).end(a.body),
      () => res.destroy(),
    );
  });
  server.on('connect', (req, near) => {
    asked.push(`CONNECT ${req.url}`);
    authorizations.push(req.headers['proxy-authorization']);
    const far = connect(Number(secure.host.split(':')[1]), '127.0.0.1', () => {
      near.write('HTTP/1.1 200 OK\r\n\r\n');
      near.pipe(far).pipe(near);
    });
    for (const s of [near, far]) s.on('error', () => s.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { server, asked, authorizations };
}

interface Answer {
  status: number;
  type?: string;
  body?: Buffer;
  challenge?: string;
  isCut?: boolean;
}

async function pass(url: string): Promise<Answer & { body: Buffer }> {
  const answer = await fetch(`${plain.url}${url}`, { headers: { accept: '*/*' } });
  const type = answer.headers.get('content-type') ?? '';
  return { status: answer.status, type, body: Buffer.from(await answer.arrayBuffer()) };
}

async function answering(
  fn: (url: string, headers: IncomingHttpHeaders) => Answer | Promise<Answer>,
): Promise<AsyncDisposable & { host: string }> {
  const server = createServer((req, res) => {
    Promise.resolve(fn(req.url ?? '', req.headers)).then(
      (a) => {
        const length = a.isCut ? 1_000_000 : (a.body?.length ?? 0);
        const challenge = a.challenge === undefined ? {} : { 'www-authenticate': a.challenge };
        res.writeHead(a.status, { 'content-type': a.type ?? '', 'content-length': length, ...challenge });
        if (a.isCut) res.write(a.body, () => res.destroy());
        else res.end(a.body);
      },
      () => res.destroy(),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
