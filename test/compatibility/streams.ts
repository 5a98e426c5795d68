/**
 * Asks for the subresources that are bytes (log, exec, attach, portforward, proxy) of a pod that runs on the probe's node: `create`
 * as SPDY clients do, by POST, `get` as WebSocket clients do. The bytes that come back tell that it works.
 */
import { request } from 'node:https';
import { text } from 'node:stream/consumers';
import type { KubeObject } from '#lib/api';
import { errorOfStatus, type HttpClient, resourcePath } from '#lib/client';
import { type DialledChannels, dialChannels } from '#lib/http';
import { SpdyClient } from '../../lib/http/spdy-client.testing.ts';
import type { Asker, Calls } from './outcome.ts';
import { ECHO_PORT, HTTP_PORT, LOG_LINE } from './probe-node.ts';
import { keyOf, type Resource } from './resource.ts';

export interface StreamAsker extends Asker {
  readonly url: string;
  readonly tls: { readonly ca: string; readonly cert: string; readonly key: string };
}

type StreamProbe = (r: Resource, object: KubeObject, a: StreamAsker) => Calls;

const DIAL_MS = 5_000;
const [STDIN, STDOUT, ERROR] = [0, 1, 3];
const COMMAND = ['say', 'hello'];
const CHANNELS = ['v5.channel.k8s.io'];

/** Of `object`, which runs on the probe's node. */
export const STREAM_SUBRESOURCES: Readonly<Record<string, StreamProbe>> = {
  log: (r, object, { client, c }) => ({
    get: async () => {
      const answer = await client.raw({ method: 'GET', path: pathOf(r, object, 'log') }, c);
      requireText(await answer.body.text(), LOG_LINE);
    },
  }),
  exec: (r, object, a) => {
    const path = `${pathOf(r, object, 'exec')}?stdout=1&${COMMAND.map((word) => `command=${word}`).join('&')}`;
    return {
      create: async () => requireText(await spdyCommand(path, undefined, a), COMMAND.join(' ')),
      get: async () => requireText(await webSocketCommand(path, undefined, a), COMMAND.join(' ')),
    };
  },
  attach: (r, object, a) => {
    const path = `${pathOf(r, object, 'attach')}?stdin=1&stdout=1`;
    return {
      create: async () => requireText(await spdyCommand(path, 'by spdy', a), 'BY SPDY'),
      get: async () => requireText(await webSocketCommand(path, 'by websocket', a), 'BY WEBSOCKET'),
    };
  },
  portforward: (r, object, a) => {
    const path = pathOf(r, object, 'portforward');
    return {
      create: async () => requireText(await spdyForward(path, 'by spdy', a), 'BY SPDY'),
      get: async () => requireText(await webSocketForward(path, 'by websocket', a), 'BY WEBSOCKET'),
    };
  },
  proxy: (r, object, { client, c }) => {
    const { namespace, name } = keyOf(r.kind, object);
    const target = { namespace, name: `${name}:${r.kind.resource === 'services' ? 80 : HTTP_PORT}` };
    const path = `${resourcePath(r.kind, { ...target, subresource: 'proxy' })}/some/page`;
    const asks = (method: Parameters<HttpClient['raw']>[0]['method']) => async (): Promise<void> => {
      const answer = await client.raw({ method, path }, c);
      requireText(await answer.body.text(), `${method} /some/page`);
    };
    return {
      create: asks('POST'),
      get: asks('GET'),
      update: asks('PUT'),
      patch: asks('PATCH'),
      delete: asks('DELETE'),
    };
  },
};

function pathOf(r: Resource, object: KubeObject, subresource: string): string {
  return resourcePath(r.kind, { ...keyOf(r.kind, object), subresource });
}

function requireText(found: string, wanted: string): void {
  if (found !== wanted) throw new Error(`${JSON.stringify(found)} came instead of ${JSON.stringify(wanted)}`);
}

async function webSocketCommand(path: string, input: string | undefined, a: StreamAsker): Promise<string> {
  const writable = input === undefined ? [] : [STDIN];
  await using channels = await dial(path, { readable: [STDOUT, ERROR], writable }, a);
  if (input !== undefined) {
    channels.output(STDIN).write(input);
    channels.endChannel(STDIN);
  }
  const [out, status] = await Promise.all([text(channels.input(STDOUT)), text(channels.input(ERROR))]);
  return succeeded(status, out);
}

async function spdyCommand(path: string, input: string | undefined, a: StreamAsker): Promise<string> {
  const client = await spdy(path, CHANNELS[0] ?? '', a);
  const error = client.open({ streamType: 'error' });
  const stdin = input === undefined ? undefined : client.open({ streamType: 'stdin' });
  const stdout = client.open({ streamType: 'stdout' });
  stdin?.write(Buffer.from(input ?? ''));
  stdin?.end();
  const [out, status] = await Promise.all([stdout.text(), error.text()]);
  client.end();
  return succeeded(status, out);
}

function succeeded(status: string, out: string): string {
  const outcome = JSON.parse(status) as { status?: string };
  if (outcome.status !== 'Success') throw new Error(`the command ended with ${status}`);
  return out;
}

/** By channels: each begins with the port, as two bytes, little-endian. */
async function webSocketForward(path: string, input: string, a: StreamAsker): Promise<string> {
  const [DATA, FAILURE] = [0, 1];
  const asked = { readable: [DATA, FAILURE], writable: [DATA] };
  await using channels = await dial(`${path}?ports=${ECHO_PORT}`, asked, a);
  channels.output(DATA).write(input);
  let got = Buffer.alloc(0);
  for await (const chunk of channels.input(DATA)) {
    got = Buffer.concat([got, chunk as Buffer]);
    if (got.length >= 2 + input.length) break;
  }
  return got.toString('latin1', 2);
}

async function spdyForward(path: string, input: string, a: StreamAsker): Promise<string> {
  const client = await spdy(path, 'portforward.k8s.io', a);
  const headers = { port: String(ECHO_PORT), requestID: '0' };
  const error = client.open({ streamType: 'error', ...headers });
  const data = client.open({ streamType: 'data', ...headers });
  data.write(Buffer.from(input));
  data.end();
  const [out, failure] = await Promise.all([data.text(), error.text()]);
  client.end();
  if (failure !== '') throw new Error(failure);
  return out;
}

function dial(
  path: string,
  asked: { readonly readable: readonly number[]; readonly writable: readonly number[] },
  a: StreamAsker,
): Promise<DialledChannels> {
  const refused = (code: number, body: string): Error => refusal(code, body);
  return dialChannels({
    url: `${a.url}${path}`,
    tls: a.tls,
    timeoutMs: DIAL_MS,
    protocols: CHANNELS,
    ...asked,
    refused,
  });
}

function spdy(path: string, protocol: string, a: StreamAsker): Promise<SpdyClient> {
  const headers = { Connection: 'Upgrade', Upgrade: 'SPDY/3.1', 'X-Stream-Protocol-Version': protocol };
  const req = request(`${a.url}${path}`, { method: 'POST', headers, ...a.tls, agent: false, timeout: DIAL_MS });
  return new Promise((resolve, reject) => {
    req.once('upgrade', (res, socket, head) => {
      socket.unshift(head);
      resolve(new SpdyClient(socket, String(res.headers['x-stream-protocol-version'] ?? '')));
    });
    req.once('response', (res) => text(res).then((body) => reject(refusal(res.statusCode ?? 0, body)), reject));
    req.once('timeout', () => req.destroy(new Error(`no answer to POST ${path}`)));
    req.once('error', reject);
    req.end();
  });
}

function refusal(code: number, body: string): Error {
  return errorOfStatus(code, body.startsWith('{') ? JSON.parse(body) : undefined, body);
}
