import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import {
  createServer as createTlsServer,
  request as httpsRequest,
  type RequestOptions,
  type Server as TlsServer,
} from 'node:https';
import { type AddressInfo, connect } from 'node:net';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { connect as tlsConnect } from 'node:tls';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Kinds, type Pod } from '#lib/api';
import { StatusError } from '#lib/base';
import type { NodeStream, NodeStreamRequest, NodeStreams } from '#lib/client';
import { createCa, type KeyPair } from '#lib/pki';
import { testContext as c, eventually, startTestServer, type TestServer } from '../../testing/server.ts';

/** A node whose every port is the target server; port 1 refuses. */
class TcpNode implements NodeStreams {
  readonly requests: { node: string; request: NodeStreamRequest }[] = [];
  readonly open = new Set<object>();
  port = 0;
  tlsPort = 0;

  async openStream(node: string, request: NodeStreamRequest): Promise<NodeStream> {
    this.requests.push({ node, request });
    if (node === 'gone') throw new StatusError('Unavailable', 'node gone is not connected');
    const socket = connect({ host: '127.0.0.1', port: this.#portFor(request.port), allowHalfOpen: true });
    this.open.add(socket);
    socket.once('close', () => this.open.delete(socket));
    const result = new Promise<{ exitCode: number }>((resolve, reject) => {
      socket.once('error', (e) => reject(new StatusError('Unavailable', e.message)));
      socket.once('close', () => resolve({ exitCode: 0 }));
    });
    result.catch(() => undefined);
    const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
    stderr.end();
    stdin.pipe(socket).pipe(stdout);
    socket.once('close', () => stdout.end());
    const dispose = async (): Promise<void> => void socket.destroy();
    return { stdin, stdout, stderr, result, resize: () => undefined, [Symbol.asyncDispose]: dispose };
  }

  #portFor(asked: number | undefined): number {
    if (asked === 1) return 1;
    return asked === 8443 ? this.tlsPort : this.port;
  }
}

const node = new TcpNode();
let server: TestServer;
let target: Server;
let secure: TlsServer;
let admin: KeyPair;
let answer: (req: IncomingMessage, res: ServerResponse) => void;

const POD = '/api/v1/namespaces/default/pods/p/proxy';

beforeAll(async () => {
  target = createServer((req, res) => answer(req, res));
  target.on('upgrade', (req, socket) => {
    if (req.url === '/no') {
      socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\nX-Why: no\r\n\r\nnope');
      return;
    }
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${req.headers.upgrade}\r\n\r\nhi `,
    );
    socket.on('data', (d: Buffer) => {
      if (d.toString() === 'stop') socket.end('bye');
      else socket.write(d.toString().toUpperCase());
    });
    socket.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => target.listen(0, '127.0.0.1', resolve));
  node.port = (target.address() as AddressInfo).port;
  const self = await createCa('of the pod itself');
  secure = createTlsServer({ cert: self.certPem, key: self.keyPem }, (req, res) => answer(req, res));
  await new Promise<void>((resolve) => secure.listen(0, '127.0.0.1', resolve));
  node.tlsPort = (secure.address() as AddressInfo).port;
  server = await startTestServer({ listen: true, nodeStreams: node });
  admin = await server.issueClient('admin', ['system:masters']);
  await makePod('p', 'n1', '10.42.0.5');
  await makePod('far', 'gone', '10.42.0.6');
  await makePod('bad', 'n1', '127.0.0.1');
  const ports = [
    { name: 'http', port: 80, targetPort: 8080 },
    { name: 'dead', port: 81, targetPort: 1 },
  ];
  await server.client.create(Kinds.services, { metadata: { name: 's', namespace: 'default' }, spec: { ports } }, c);
  await server.client.create(Kinds.services, { metadata: { name: 'e', namespace: 'default' }, spec: { ports } }, c);
  const ref = (name: string): object => ({ kind: 'Pod', name, namespace: 'default' });
  const subsets = [
    {
      addresses: [
        { ip: '10.42.0.5', targetRef: ref('p') },
        { ip: '10.42.0.99', targetRef: ref('p') },
        { ip: '10.1.1.1' },
        { ip: '10.42.0.7', targetRef: ref('missing') },
      ],
      ports: [
        { name: 'http', port: 8080 },
        { name: 'dead', port: 1 },
      ],
    },
  ];
  await server.client.create(Kinds.endpoints, { metadata: { name: 's', namespace: 'default' }, subsets }, c);
  const foreign = [{ addresses: [{ ip: '10.1.1.1' }], ports: [{ name: 'http', port: 8080 }] }];
  await server.client.create(Kinds.endpoints, { metadata: { name: 'e', namespace: 'default' }, subsets: foreign }, c);
  await server.client.create(Kinds.nodes, { metadata: { name: 'n1' }, spec: {} }, c);
  const body = { status: { addresses: [{ type: 'InternalIP', address: '192.0.2.7' }] } };
  await server.client.patch(Kinds.nodes, { namespace: '', name: 'n1' }, { type: 'merge', body }, c, {
    subresource: 'status',
  });
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  target.closeAllConnections();
  target.close();
  secure.closeAllConnections();
  secure.close();
});

async function makePod(name: string, nodeName: string, podIP: string): Promise<void> {
  const spec = { nodeName, containers: [{ name: 'main', image: 'x', ports: [{ name: 'web', containerPort: 8080 }] }] };
  await server.client.create<Pod>(Kinds.pods, { metadata: { name, namespace: 'default' }, spec }, c);
  const body = { status: { phase: 'Running', podIP, podIPs: [{ ip: podIP }] } };
  await server.client.patch(Kinds.pods, { namespace: 'default', name }, { type: 'merge', body }, c, {
    subresource: 'status',
  });
}

interface Reply {
  readonly code: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

function call(path: string, o: RequestOptions & { body?: string | Buffer; as?: KeyPair } = {}): Promise<Reply> {
  const { port } = new URL(server.url);
  const { certPem, keyPem } = o.as ?? admin;
  return new Promise((resolve, reject) => {
    const tls = { ca: server.ca.certPem, cert: certPem, key: keyPem, servername: 'localhost' };
    const req = httpsRequest({ host: '127.0.0.1', port, path, ...tls, agent: false, ...o }, (res) => {
      const pieces: Buffer[] = [];
      res.on('data', (d: Buffer) => pieces.push(d));
      res.on('error', reject);
      res.on('end', () => resolve({ code: res.statusCode ?? 0, headers: res.headers, body: Buffer.concat(pieces) }));
    });
    req.on('upgrade', (res, socket) => {
      socket.destroy();
      resolve({ code: 101, headers: res.headers, body: Buffer.alloc(0) });
    });
    req.on('error', reject);
    req.end(o.body);
  });
}

async function statusOf(path: string, o: Parameters<typeof call>[1] = {}): Promise<[number, string]> {
  const { code, body } = await call(path, o);
  const status = JSON.parse(body.toString()) as { kind: string; message: string };
  expect(status.kind).toBe('Status');
  return [code, status.message];
}

describe('proxy: requests', () => {
  test('every method, path, query, headers and body reach the target; its answer comes back', async () => {
    const seen: unknown[] = [];
    answer = async (req, res) => {
      seen.push([req.method, req.url, req.headers, await text(req)]);
      res.writeHead(418, 'Short', {
        'x-own': ['1', '2'],
        connection: 'x-hop',
        'x-hop': '1',
        'access-control-allow-origin': '*',
      });
      res.end(req.method === 'HEAD' ? undefined : 'tea');
    };
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'HEAD']) {
      const body = method === 'GET' || method === 'HEAD' ? undefined : 'hello';
      const length = body === undefined ? {} : { 'content-length': body.length };
      const headers = { 'x-mine': 'a', authorization: 'Bearer x', te: 'trailers', host: 'api.test', ...length };
      const reply = await call(`${POD}/a%20b//c/?q=1&q=2`, {
        method,
        headers,
        ...(body === undefined ? {} : { body }),
      });
      expect(reply).toMatchObject({ code: 418, headers: { 'x-own': '1, 2' } });
      expect(reply.headers).not.toHaveProperty('x-hop');
      expect(reply.headers).not.toHaveProperty('access-control-allow-origin');
      expect(reply.body.toString()).toBe(method === 'HEAD' ? '' : 'tea');
      const [gotMethod, url, got, gotBody] = seen.at(-1) as [string, string, Record<string, string>, string];
      expect([gotMethod, url, gotBody]).toEqual([method, '/a%20b//c/?q=1&q=2', body ?? '']);
      expect(got).toMatchObject({
        'x-mine': 'a',
        host: 'api.test',
        'x-forwarded-for': '127.0.0.1',
        'x-forwarded-uri': `${POD}/a%20b//c/`,
      });
      for (const name of ['authorization', 'te']) expect(got).not.toHaveProperty(name);
    }
    expect(node.requests.at(-1)).toMatchObject({
      node: 'n1',
      request: { kind: 'podforward', port: 8080, pod: { name: 'p' } },
    });
    await eventually(() => expect(node.open.size).toBe(0));
  });

  test('large bodies stream both ways', async () => {
    answer = (req, res) => void req.pipe(res);
    const body = Buffer.alloc(20_000_000, 'x');
    const reply = await call(`${POD}/echo`, { method: 'POST', body });
    expect(reply.body.equals(body)).toBe(true);
  });

  test('a body without a length is sent in chunks, a POST without a body as empty', async () => {
    answer = async (req, res) =>
      res.end(`${req.headers['transfer-encoding']} ${req.headers['content-length']} ${await text(req)}`);
    const chunked = { method: 'PUT', headers: { 'transfer-encoding': 'chunked' }, body: 'abc' };
    expect((await call(`${POD}/`, chunked)).body.toString()).toBe('chunked undefined abc');
    expect((await call(`${POD}/`, { method: 'POST' })).body.toString()).toBe('undefined 0 ');
  });

  test('what the target writes arrives at once, and its work ends when the client goes', async () => {
    let ended: () => void = () => undefined;
    const closed = new Promise<void>((resolve) => {
      ended = resolve;
    });
    answer = (_req, res) => {
      res.writeHead(200, { 'content-type': 'text/event-stream' });
      res.write('data: 1\n\n');
      res.once('close', ended);
    };
    const { port } = new URL(server.url);
    const tls = { ca: server.ca.certPem, cert: admin.certPem, key: admin.keyPem };
    const first = await new Promise<string>((resolve, reject) => {
      const req = httpsRequest({ host: '127.0.0.1', port, path: `${POD}/events`, ...tls, agent: false }, (res) => {
        res.once('data', (d: Buffer) => {
          resolve(d.toString());
          req.destroy();
        });
      });
      req.on('error', reject);
      req.end();
    });
    expect(first).toBe('data: 1\n\n');
    await closed;
  });

  test('an empty path is sent to the one with a slash', async () => {
    expect(await call(`${POD}?a=1`)).toMatchObject({ code: 301, headers: { location: `${POD}/?a=1` } });
    answer = (req, res) => res.end(req.url);
    expect((await call(POD, { method: 'POST' })).body.toString()).toBe('/');
  });

  test('pages and redirects are made to lead through the proxy', async () => {
    const html = '<a href="/x">é</a>';
    const rewritten = `<a href="${POD}/x">é</a>`;
    answer = (req, res) => {
      if (req.url === '/to') res.writeHead(302, { location: 'http://10.42.0.5:8080/login?x=1' }).end();
      else if (req.url === '/gzip')
        res.writeHead(200, { 'content-type': 'text/html', 'content-encoding': 'gzip' }).end(gzipSync(html));
      else if (req.url === '/text') res.writeHead(200, { 'content-type': 'text/plain' }).end(html);
      else
        res
          .writeHead(200, { 'content-type': 'Text/HTML; charset=utf-8', 'content-length': Buffer.byteLength(html) })
          .end(html);
    };
    expect((await call(`${POD}/page`)).body.toString()).toBe(rewritten);
    expect(gunzipSync((await call(`${POD}/gzip`)).body).toString()).toBe(rewritten);
    expect((await call(`${POD}/text`)).body.toString()).toBe(html);
    expect((await call(`${POD}/to`)).headers.location).toBe(`${POD}/login?x=1`);
  });

  test('services by number and name of their port, nodes by port', async () => {
    answer = (_req, res) => res.end('ok');
    const S = '/api/v1/namespaces/default/services';
    for (const id of ['s:80', 's:http', 'http:s:80', 'http%3As%3A80']) {
      expect((await call(`${S}/${id}/proxy/`)).body.toString()).toBe('ok');
      expect(node.requests.at(-1)).toMatchObject({
        node: 'n1',
        request: { kind: 'podforward', port: 8080, pod: { name: 'p' } },
      });
    }
    expect((await call('/api/v1/nodes/n1:9100/proxy/metrics')).body.toString()).toBe('ok');
    expect(node.requests.at(-1)).toMatchObject({ node: 'n1', request: { kind: 'nodeforward', port: 9100 } });
  });

  test('https: the target is spoken to by TLS, whoever signed its certificate', async () => {
    answer = async (req, res) => res.end(`${'encrypted' in req.socket} ${await text(req)}`);
    const place = '/api/v1/namespaces/default/pods/https:p:8443/proxy/x';
    expect((await call(place, { method: 'POST', body: 'secret' })).body.toString()).toBe('true secret');
    await eventually(() => expect(node.open.size).toBe(0));
  });

  test('what cannot be reached is a Status', async () => {
    const S = '/api/v1/namespaces/default/services';
    const P = '/api/v1/namespaces/default/pods';
    const before = node.requests.length;
    expect(await statusOf(`${P}/a:b:c:d/proxy/`)).toEqual([400, 'invalid pod request "a:b:c:d"']);
    expect(await statusOf(`${P}/ftp:p:80/proxy/`)).toEqual([400, 'invalid pod request "ftp:p:80"']);
    expect(await statusOf(`${P}/none/proxy/`)).toEqual([404, 'pods "none" not found']);
    expect(await statusOf(`${P}/bad/proxy/`)).toEqual([400, 'address not allowed']);
    expect(await statusOf(`${S}/none/proxy/`)).toEqual([404, 'endpoints "none" not found']);
    expect(await statusOf(`${S}/s:9/proxy/`)).toEqual([503, 'no service port 9 found for service "s"']);
    expect(await statusOf(`${S}/s/proxy/`)).toEqual([503, 'no endpoints available for service "s"']);
    expect(await statusOf(`${S}/e:80/proxy/`)).toEqual([503, 'no endpoints available for service "e:80"']);
    expect((await statusOf('/api/v1/nodes/n1/proxy/'))[0]).toBe(503);
    expect((await statusOf(`${P}/p:70000/proxy/`))[0]).toBe(503);
    expect((await statusOf('/api/v1/namespaces/default/configmaps/x/proxy/'))[0]).toBe(404);
    expect(node.requests.length).toBe(before);
    expect(await statusOf(`${P}/far/proxy/`)).toEqual([
      503,
      'error trying to reach service: node gone is not connected',
    ]);
    const refused = 'error trying to reach service: connect ECONNREFUSED 127.0.0.1:1';
    expect(await statusOf(`${S}/s:81/proxy/`)).toEqual([503, refused]);
    expect(await statusOf(`${P}/p:1/proxy/`, { method: 'POST', body: 'x'.repeat(200_000) })).toEqual([503, refused]);
    answer = (req) => req.socket.end('not http\r\n\r\n');
    expect((await statusOf(`${POD}/`))[0]).toBe(503);
    expect((await statusOf(`${P}/https:p:8080/proxy/`))[0]).toBe(503);
    answer = (req) => req.socket.end('HTTP/1.1 099 Odd\r\nContent-Length: 3\r\nX-Odd: 1\r\n\r\nabc');
    const odd = await call(`${POD}/`);
    expect([odd.code, odd.headers['x-odd']]).toEqual([503, undefined]);
  });

  test('who may do what: the verb of the method, of the subresource', async () => {
    const nobody = await server.issueClient('nobody', []);
    const [code, message] = await statusOf(`${POD}/`, { method: 'PUT', as: nobody });
    expect(code).toBe(403);
    expect(message).toContain('cannot update resource "pods/proxy" in API group "" in the namespace "default"');
    expect((await statusOf(`${POD}/`, { as: nobody, headers: { connection: 'upgrade', upgrade: 'x' } }))[1]).toContain(
      'cannot get',
    );
  });
});

describe('proxy: upgrades', () => {
  function dial(head: string): Promise<string> {
    const { port } = new URL(server.url);
    const tls = { ca: server.ca.certPem, cert: admin.certPem, key: admin.keyPem, servername: 'localhost' };
    return new Promise((resolve, reject) => {
      const socket = tlsConnect({ host: '127.0.0.1', port: Number(port), ...tls }, () => socket.write(head));
      let got = '';
      socket.on('data', (d: Buffer) => {
        const before = got;
        got += d.toString();
        if (got.includes('hi ') && !before.includes('hi ')) socket.write('more');
        if (got.includes('MORE') && !before.includes('MORE')) socket.write('stop');
      });
      socket.on('end', () => resolve(got));
      socket.on('error', reject);
    });
  }

  const head = (path: string, protocol: string, extra = ''): string =>
    `GET ${POD}${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n${extra}\r\n`;

  test.each(['websocket', 'chargen/1', 'SPDY/3.1'])(
    '%s is passed through, bytes both ways to the end',
    async (protocol) => {
      const got = await dial(head('/ws', protocol));
      expect(got).toMatch(/^HTTP\/1\.1 101 /);
      expect(got).toContain(`Upgrade: ${protocol}`);
      expect(got.slice(got.indexOf('hi ') + 3)).toBe('MOREbye');
      await eventually(() => expect(node.open.size).toBe(0));
    },
  );

  test('h2c is an offer that one may ignore: the request is served as a plain one', async () => {
    answer = (req, res) => res.end(`plain ${req.headers.upgrade} ${req.headers['http2-settings']}`);
    const settings = 'HTTP2-Settings: AAMAAABk\r\n';
    const got = await dial(
      head('/x', 'h2c', settings).replace('Connection: Upgrade', 'Connection: Upgrade, HTTP2-Settings'),
    );
    expect(got).toMatch(/^HTTP\/1\.1 200 /);
    expect(got).toContain('plain undefined undefined');
  });

  test('a client that goes takes the connection to the target with it', async () => {
    const { port } = new URL(server.url);
    const tls = { ca: server.ca.certPem, cert: admin.certPem, key: admin.keyPem, servername: 'localhost' };
    const socket = tlsConnect({ host: '127.0.0.1', port: Number(port), ...tls }, () => socket.write(head('/ws', 'x')));
    await new Promise((resolve) => socket.once('data', resolve));
    expect(node.open.size).toBe(1);
    socket.destroy();
    await eventually(() => expect(node.open.size).toBe(0));
  });

  test('after a refused upgrade nothing more goes to the target', async () => {
    let plain = 0;
    answer = (_req, res) => {
      plain++;
      res.end();
    };
    const smuggled = 'GET /secret HTTP/1.1\r\nHost: x\r\n\r\n';
    const got = await dial(head('/no', 'websocket') + smuggled);
    expect(got).toMatch(/^HTTP\/1\.1 403 Forbidden\r\n/);
    expect(got).toMatch(/\r\n\r\nnope$/);
    expect(got.toLowerCase()).toContain('connection: close');
    expect(plain).toBe(0);
    await eventually(() => expect(node.open.size).toBe(0));
  });

  test('a pod that cannot be reached refuses the upgrade with a Status', async () => {
    const got = await dial(head('/ws', 'websocket').replace('pods/p/', 'pods/p:1/'));
    expect(got).toMatch(/^HTTP\/1\.1 503 /);
    expect(got).toContain('error trying to reach service: connect ECONNREFUSED');
  });
});

describe('proxy: one request of a client is one request of the target', () => {
  const SMUGGLED = 'POST /smuggled HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n';
  test.each(['GET', 'DELETE', 'OPTIONS', 'POST'])('%s whose length is named in Connection', async (method) => {
    const seen: string[] = [];
    answer = async (req, res) => {
      seen.push(`${req.method} ${req.url} ${await text(req)}`);
      res.end('ok');
    };
    const headers = { 'content-length': SMUGGLED.length, connection: 'close, content-length, host' };
    expect((await call(`${POD}/a`, { method, headers, body: SMUGGLED })).code).toBe(200);
    await call(`${POD}/after`);
    expect(seen).toEqual([`${method} /a ${SMUGGLED}`, 'GET /after ']);
  });
});

describe('proxy: upgrades of what is no place of the API', () => {
  test('a node is not inside a namespace: rights there give nothing', async () => {
    const owner = await server.issueClient('owner', []);
    await server.client.create(Kinds.namespaces, { metadata: { name: 'own' }, spec: {} }, c);
    const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' };
    const subjects = [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'owner' }];
    await server.client.create(
      Kinds.rolebindings,
      { metadata: { name: 'all', namespace: 'own' }, roleRef, subjects } as never,
      c,
    );
    const before = node.requests.length;
    const headers = { connection: 'Upgrade', upgrade: 'websocket' };
    await eventually(async () => {
      const reply = await call('/api/v1/namespaces/own/nodes/n1:8080/proxy/x', { headers, as: owner });
      expect(reply.code).toBe(404);
    });
    expect(node.requests.length).toBe(before);
  });
});
