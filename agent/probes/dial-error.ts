/** Why a connection did not come about, as Go's net package words it: `kubectl describe` shows it. Pure. */

/** `host` without brackets. */
export function hostPort(host: string, port: number): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** What it has no word for stays in Node's. */
export function dialErrorText(e: NodeJS.ErrnoException, host: string, port: number): string {
  const words = WORDS[e.code ?? ''];
  if (words !== undefined && e.syscall === 'connect') return `dial tcp ${hostPort(host, port)}: connect: ${words}`;
  if (e.code === 'ENOTFOUND') return `dial tcp: lookup ${host}: no such host`;
  if (e.code === 'ECONNRESET') return 'read: connection reset by peer';
  return e.message;
}

const WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  EHOSTUNREACH: 'no route to host',
  ENETUNREACH: 'network is unreachable',
  ETIMEDOUT: 'connection timed out',
};
