/**
 * A registry that does nothing but move bytes, to compare with: pushes are thrown away, pulls are files as they are.
 * `plain-registry.js BLOBS-FOLDER`; prints its port.
 */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

const [, , blobs = ''] = process.argv;
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';

const server = createServer(async (req, res) => {
  const url = new URL(req.url ?? '/', 'http://x');
  const [, kind, reference = ''] = /\/(blobs|manifests)\/(.*)$/.exec(url.pathname) ?? [];
  if (req.method === 'GET' || req.method === 'HEAD') {
    const file = join(blobs, reference.replace(/^sha256:/, ''));
    const info =
      kind !== undefined && /^sha256:[0-9a-f]{64}$/.test(reference)
        ? await stat(file).catch(() => undefined)
        : undefined;
    if (url.pathname === '/v2/') return void res.end('{}');
    // A push asks first: what was pushed to the other side is on that disk, and must be sent here all the same.
    const isAsked = kind === 'blobs' && req.method === 'HEAD';
    if (info === undefined || isAsked) return void res.writeHead(404).end('{}');
    res.writeHead(200, {
      'content-length': info.size,
      'content-type': kind === 'manifests' ? MANIFEST : 'application/octet-stream',
      'docker-content-digest': reference,
    });
    if (req.method === 'HEAD') res.end();
    else createReadStream(file, { highWaterMark: 256 * 1024 }).pipe(res);
    return;
  }
  for await (const _ of req);
  const digest = url.searchParams.get('digest');
  const name = url.pathname.replace(/\/(blobs|manifests)\/.*$/, '');
  if (kind === 'manifests' || digest !== null) res.writeHead(201, { location: url.pathname }).end();
  else res.writeHead(202, { location: `${name}/blobs/uploads/x`, range: '0-0' }).end();
});
server.listen(0, '127.0.0.1', () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`));
