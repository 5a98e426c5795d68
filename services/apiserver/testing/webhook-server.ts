/** An https server as a webhook: answers reviews by a function, and keeps what it was asked. */
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { NodeStreams } from '#lib/client';
import { createCa, issue } from '#lib/pki';
import { portStream } from './port-stream.ts';

export interface SeenReview {
  readonly path: string;
  readonly review: Review;
}

export interface Review {
  readonly apiVersion: string;
  readonly kind: string;
  // biome-ignore lint/suspicious/noExplicitAny: whatever the server under test sends
  readonly request: any;
}

/** The `response` of a review; a Buffer is sent as it is, a number is a status code. */
export type Answer = object | Buffer | number;

export interface WebhookServer extends AsyncDisposable {
  readonly url: string;
  readonly caBundle: string;
  readonly seen: SeenReview[];
  answer: (seen: SeenReview) => Answer | Promise<Answer>;
  /** The way to it as the pod `hook-0` of the node n1, port 8443. */
  readonly streams: NodeStreams;
}

export async function startWebhookServer(answer: WebhookServer['answer']): Promise<WebhookServer> {
  const ca = await createCa('webhooks');
  const names = { dnsNames: ['hook.default.svc', 'localhost'], ipAddresses: ['127.0.0.1'] };
  const pair = await issue(ca, { commonName: 'hook', ...names, usages: ['server'], days: 1 });
  const seen: SeenReview[] = [];
  const server = createServer({ cert: pair.certPem, key: pair.keyPem }, (req, res) => {
    const serve = async (): Promise<void> => {
      const chunks: Buffer[] = [];
      for await (const chunk of req) chunks.push(chunk as Buffer);
      const review = JSON.parse(Buffer.concat(chunks).toString()) as Review;
      const one = { path: req.url ?? '', review };
      seen.push(one);
      const said = await made.answer(one);
      if (typeof said === 'number') res.writeHead(said).end('broken');
      else if (Buffer.isBuffer(said)) res.writeHead(200, { 'content-type': 'application/json' }).end(said);
      else {
        const { apiVersion, kind, request } = review;
        res.writeHead(200, { 'content-type': 'application/json' });
        res.end(JSON.stringify({ apiVersion, kind, response: { uid: request.uid, ...said } }));
      }
    };
    serve().catch((e: unknown) => res.destroy(e as Error));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const made: WebhookServer = {
    url: `https://127.0.0.1:${port}/hook`,
    caBundle: Buffer.from(ca.certPem).toString('base64'),
    seen,
    answer,
    streams: {
      openStream: async (node, request) => {
        if (node !== 'n1' || request.kind !== 'podforward' || request.port !== 8443 || request.pod.name !== 'hook-0')
          throw new Error(`no webhook at ${node} ${request.pod.name}`);
        return await portStream(port);
      },
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return made;
}

/** A JSON patch as a webhook sends it. */
export function patchOf(operations: readonly object[]): object {
  const patch = Buffer.from(JSON.stringify(operations)).toString('base64');
  return { allowed: true, patchType: 'JSONPatch', patch };
}
