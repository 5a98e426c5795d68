/** An extension API server behind a Service, as a cluster would have it: https, told who the user is by the aggregator. For tests. */

import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { TLSSocket } from 'node:tls';
import { type APIService, type EndpointSlice, Kinds, type Service } from '#lib/api';
import type { Client, NodeStreams } from '#lib/client';
import { createCa, issue, type KeyPair } from '#lib/pki';
import { portStream } from './port-stream.ts';
import { testContext as c } from './server.ts';

export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headersDistinct'];
  /** Common name of the client's certificate, if it is one of the authority given. */
  readonly clientName: string | undefined;
  readonly body: string;
}

export interface ExtensionServer extends AsyncDisposable {
  readonly ca: KeyPair;
  readonly port: number;
  /** But for the aggregator's own. */
  readonly seen: SeenRequest[];
  /** Answers everything with 500. */
  setBroken(isBroken: boolean): void;
  /** The way to it: port-forward streams of a node that has its pod. */
  readonly streams: NodeStreams;
}

export const GROUP = 'wardle.example.com';
export const VERSION = 'v1alpha1';
const ROOT = `/apis/${GROUP}/${VERSION}`;
export const HOST = 'wardle.default.svc';

const RESOURCES = {
  kind: 'APIResourceList',
  apiVersion: 'v1',
  groupVersion: `${GROUP}/${VERSION}`,
  resources: [
    { name: 'flunders', singularName: 'flunder', namespaced: true, kind: 'Flunder', verbs: ['get', 'list', 'watch'] },
    { name: 'flunders/status', singularName: '', namespaced: true, kind: 'Flunder', verbs: ['get', 'update'] },
  ],
};
const SWAGGER = {
  swagger: '2.0',
  info: { title: 'wardle', version: '1' },
  paths: {
    [`${ROOT}/flunders`]: {
      get: { responses: { 200: { description: 'OK', schema: { $ref: '#/definitions/com.example.wardle.Flunder' } } } },
    },
    '/apis/other.example.com/v1/x': {},
  },
  definitions: { 'com.example.wardle.Flunder': { type: 'object' }, 'com.example.unused': { type: 'object' } },
};

/** `trusted`: PEM of the authority whose clients are believed, asked at each connection. */
export async function startExtensionServer(o: { trusted: () => string; host?: string }): Promise<ExtensionServer> {
  const ca = await createCa('extension');
  const pair = await issue(ca, { commonName: 'wardle', dnsNames: [o.host ?? HOST], usages: ['server'], days: 1 });
  const seen: SeenRequest[] = [];
  let isBroken = false;
  const server = createServer(
    { cert: pair.certPem, key: pair.keyPem, requestCert: true, rejectUnauthorized: false, ca: o.trusted() },
    (req, res) => void answer(req, res),
  );
  const answer = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk as Buffer);
    if (req.headers['x-remote-user'] !== 'system:kube-aggregator') seen.push(seenOf(req, Buffer.concat(chunks)));
    const url = req.url ?? '';
    if (isBroken) res.writeHead(500).end('broken');
    else if (url === ROOT) json(res, RESOURCES);
    else if (url === '/openapi/v2') json(res, SWAGGER);
    else if (url === '/openapi/v3')
      json(res, { paths: { [ROOT.slice(1)]: { serverRelativeURL: `/openapi/v3${ROOT}?hash=ABC` } } });
    else if (url.startsWith(`/openapi/v3${ROOT}`)) json(res, { openapi: '3.0.0', paths: {} });
    else if (url.includes('watch=true')) stream(res);
    else if (url.endsWith('/redirect')) res.writeHead(302, { location: 'https://other.example.com/' }).end('moved');
    else if (url.endsWith('/switch'))
      req.socket.end('HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n');
    else if (url.startsWith(ROOT)) json(res, { kind: 'Flunder', echo: Buffer.concat(chunks).toString() });
    else res.writeHead(404).end();
  };
  acceptUpgrades(server, seen);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const port = (server.address() as AddressInfo).port;
  return {
    ca,
    port,
    seen,
    setBroken: (broken) => {
      isBroken = broken;
    },
    streams: streamsTo(port),
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Service, EndpointSlice and APIService of it. */
export async function registerExtension(
  client: Client,
  spec: Partial<APIService['spec']>,
  o: { readonly withEndpoints?: boolean } = {},
): Promise<void> {
  const ports = [{ name: 'https', port: 443, targetPort: 8443, protocol: 'TCP' }];
  await client.create<Service>(
    Kinds.services,
    { metadata: { name: 'wardle', namespace: 'default' }, spec: { ports } } as Service,
    c,
  );
  if (o.withEndpoints !== false) await addEndpoints(client);
  await client.create<APIService>(
    Kinds.apiservices,
    {
      metadata: { name: `${VERSION}.${GROUP}` },
      spec: {
        group: GROUP,
        version: VERSION,
        groupPriorityMinimum: 2000,
        versionPriority: 15,
        service: { namespace: 'default', name: 'wardle' },
        ...spec,
      },
    },
    c,
  );
}

export async function addEndpoints(client: Client): Promise<void> {
  await client.create<EndpointSlice>(
    Kinds.endpointslices,
    {
      metadata: { name: 'wardle-1', namespace: 'default', labels: { 'kubernetes.io/service-name': 'wardle' } },
      addressType: 'IPv4',
      ports: [{ name: 'https', port: 8443, protocol: 'TCP' }],
      endpoints: [
        {
          addresses: ['10.42.0.9'],
          nodeName: 'n1',
          targetRef: { kind: 'Pod', namespace: 'default', name: 'wardle-0', uid: 'u1' },
        },
      ],
    },
    c,
  );
}

function streamsTo(port: number): NodeStreams {
  return {
    openStream: async (_node, request) => {
      if (request.kind !== 'podforward' || request.port !== 8443 || request.pod.uid !== 'u1')
        throw new Error('not the pod of the extension server');
      return await portStream(port);
    },
  };
}

function seenOf(req: IncomingMessage, body: Buffer): SeenRequest {
  const { socket } = req;
  const isKnown = socket instanceof TLSSocket && socket.authorized;
  return {
    method: req.method ?? '',
    url: req.url ?? '',
    headers: req.headersDistinct,
    clientName: isKnown ? String(socket.getPeerCertificate().subject.CN) : undefined,
    body: body.toString(),
  };
}

/** Two events with a pause that only ends when the reader has had the first. */
function stream(res: ServerResponse): void {
  res.writeHead(200, { 'content-type': 'application/json' });
  res.write('{"type":"ADDED"}\n');
}

/** Echoes in capitals after the 101; refuses one that asks for `/refuse`. */
function acceptUpgrades(server: Server, seen: SeenRequest[]): void {
  server.on('upgrade', (req, socket, head) => {
    seen.push(seenOf(req, head));
    if ((req.url ?? '').endsWith('/hang')) {
      const asked = seenOf(req, head);
      socket.once('close', () => seen.push({ ...asked, method: 'closed' }));
      return;
    }
    if ((req.url ?? '').endsWith('/redirect')) {
      socket.end('HTTP/1.1 302 Found\r\nLocation: https://other.example.com/\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    if ((req.url ?? '').endsWith('/refuse')) {
      socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno');
      return;
    }
    socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n');
    socket.on('data', (data: Buffer) => socket.write(data.toString().toUpperCase()));
    socket.on('end', () => socket.end());
  });
}

function json(res: ServerResponse, value: object): void {
  res.writeHead(200, { 'content-type': 'application/json' });
  res.end(JSON.stringify(value));
}
