/**
 * A gRPC health server for a container that has node and its libraries of the host mounted and nothing else: it serves
 * grpc.health.v1.Health/Check over clear HTTP/2 on port 9000. `good` is SERVING, `bad` NOT_SERVING, '' what FADES_MS lets it.
 */
import { createServer } from 'node:http2';

const FADES_MS = 3_000;
const SERVING = 1;
const NOT_SERVING = 2;
const NOT_FOUND = '5';
const beginMs = Date.now();

const statuses = {
  good: () => SERVING,
  bad: () => NOT_SERVING,
  '': () => (Date.now() - beginMs < FADES_MS ? SERVING : NOT_SERVING),
};

/** HealthCheckRequest { string service = 1 } behind five bytes of prefix. */
function serviceOf(message) {
  return message.length <= 7 ? '' : message.subarray(7).toString('utf8');
}

const server = createServer();
server.on('stream', (stream, headers) => {
  const chunks = [];
  stream.on('error', () => undefined);
  stream.on('data', (chunk) => chunks.push(chunk));
  stream.on('end', () => {
    const status = statuses[serviceOf(Buffer.concat(chunks))]?.();
    const head = { ':status': 200, 'content-type': 'application/grpc' };
    if (headers[':path'] !== '/grpc.health.v1.Health/Check' || status === undefined) {
      stream.respond({ ...head, 'grpc-status': NOT_FOUND }, { endStream: true });
      return;
    }
    stream.respond(head, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.end(Buffer.from([0, 0, 0, 0, 2, 8, status]));
  });
});
server.listen(9000);
process.on('SIGTERM', () => process.exit(0));
