/** The cluster's registry behind a door that asks who it is: a private one, on 127.0.0.1. */
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface PrivateRegistry extends AsyncDisposable {
  /** As it stands at the head of an image name. */
  readonly host: string;
  /** Manifests that were given, by who asked. */
  readonly given: readonly string[];
}

/** `accounts`: passwords by name. `upstream`: `host:port`. */
export async function privateRegistry(
  upstream: string,
  accounts: Readonly<Record<string, string>>,
): Promise<PrivateRegistry> {
  const given: string[] = [];
  const server = createServer((req, res) => {
    const encoded = /^Basic (.+)$/.exec(req.headers.authorization ?? '')?.[1] ?? '';
    const [name = '', password] = Buffer.from(encoded, 'base64').toString().split(':');
    if (password === undefined || accounts[name] !== password) {
      const errors = [{ code: 'UNAUTHORIZED', message: 'authentication required' }];
      res.writeHead(401, { 'www-authenticate': 'Basic realm="private"', 'content-type': 'application/json' });
      res.end(JSON.stringify({ errors }));
      return;
    }
    if (req.url?.includes('/manifests/') === true) given.push(name);
    const { authorization: _, host: __, ...headers } = req.headers;
    const onward = request(`http://${upstream}${req.url}`, { method: req.method, headers }, (answer) => {
      res.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(res);
    });
    onward.on('error', () => res.destroy());
    req.pipe(onward);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    host: `localhost:${port}`,
    given,
    [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())),
  };
}
