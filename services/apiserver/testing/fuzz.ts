/**
 * Throws arbitrary requests at a whole API server over https and judges the answers: never a 500, never a hang, every refusal
 * a Status that says its own code (but for the few answers that Kubernetes gives as plain text), and no request changes what
 * all objects of the process inherit.
 */
import type { IncomingMessage } from 'node:http';
import { Agent, request } from 'node:https';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { allKinds, readYaml } from '#lib/api';
import { type Logger, realClock, silentLogger } from '#lib/base';
import { type FuzzRequest, fuzzRequest } from './fuzz-requests.ts';
import { seedOf } from './fuzz-seeds.ts';
import { MASTER, startTestServer, type TestServer, testContext } from './server.ts';

export interface FuzzLimits {
  readonly runs: number;
  /** Stops earlier, without failing. */
  readonly limitMs: number;
  readonly seed?: number | undefined;
}

interface FuzzAnswer {
  readonly code: number;
  readonly type: string;
  readonly body: Buffer;
}

/** No request takes as long: the longest wait is 3 s, for a revision that does not come. */
const HANG_MS = 20_000;
/** Watches and logs go on: their beginning is looked at. */
const STREAM_MS = 15;
const PLAIN_TEXTS = ['404 page not found\n'];

/** How many requests were answered. Throws with the request, shrunk, that was answered badly. */
export async function fuzz(limits: FuzzLimits): Promise<number> {
  const failures: unknown[] = [];
  const server = await startTestServer({ listen: true, log: failureLogger(failures) });
  const pair = await server.issueClient(MASTER.commonName, MASTER.organizations);
  const agent = new Agent({ keepAlive: true, ca: server.ca.certPem, cert: pair.certPem, key: pair.keyPem });
  const inherited = inheritedByAll();
  let answered = 0;
  try {
    await seedServer(server);
    await fc.assert(
      fc.asyncProperty(fuzzRequest, async (asked) => {
        failures.length = 0;
        const answer = await send(agent, server.url, asked);
        answered++;
        const mistake = await mistakeOf(asked, answer);
        if (mistake !== undefined) throw new Error(`${described(asked)}\n${mistake}`, { cause: failures[0] });
        if (!isDeepStrictEqual(inheritedByAll(), inherited))
          throw new Error(`${described(asked)}\npollutes prototypes`);
      }),
      {
        numRuns: limits.runs,
        interruptAfterTimeLimit: limits.limitMs,
        includeErrorInReport: true,
        ...(limits.seed === undefined ? {} : { seed: limits.seed }),
      },
    );
    const alive = await send(agent, server.url, { method: 'GET', path: '/readyz', headers: {}, body: undefined });
    if (alive.code !== 200) throw new Error(`the server is not ready any more: ${alive.code} ${alive.body}`);
  } finally {
    agent.destroy();
    await server[Symbol.asyncDispose]();
  }
  return answered;
}

/** One object of each kind that there is a seed for; those that are refused are of no use to anybody. */
async function seedServer(server: TestServer): Promise<void> {
  for (const kind of allKinds()) {
    const seed = seedOf(kind);
    if (seed === undefined || !kind.verbs.includes('list')) continue;
    try {
      await server.client.create(kind, seed as Parameters<typeof server.client.create>[1], testContext);
    } catch (cause) {
      // The same object under another version of its group.
      if (!/already exists/.test(String(cause))) throw new Error(`the seed of ${kind.resource} is refused`, { cause });
    }
  }
}

async function mistakeOf(asked: FuzzRequest, { code, type, body }: FuzzAnswer): Promise<string | undefined> {
  const text = body.toString('utf8').slice(0, 2_000);
  const isAboutHealth = /^\/+(readyz|livez|healthz)/.test(asked.path);
  if (code >= 500 && !UNAVAILABLE.has(code)) return isAboutHealth ? undefined : `was answered ${code}: ${text}`;
  if (code < 400 || asked.method === 'HEAD') return undefined;
  if (type.startsWith('text/plain'))
    return code === 404 && PLAIN_TEXTS.includes(text) ? undefined : `was answered ${code} in plain text: ${text}`;
  const value: unknown = type === 'application/yaml' ? (await readYaml(body.toString('utf8')))[0]?.value : json(body);
  const status = value as { kind?: unknown; status?: unknown; code?: unknown; message?: unknown } | undefined;
  const isStatus = status?.kind === 'Status' && status.status === 'Failure' && status.code === code;
  return isStatus && typeof status.message === 'string' ? undefined : `was answered ${code} without a Status: ${text}`;
}

/** No node is connected, a service has no endpoints; a revision that does not come. */
const UNAVAILABLE: ReadonlySet<number> = new Set([503, 504]);

function json(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    // Said by the caller.
    return undefined;
  }
}

export function send(agent: Agent, url: string, asked: FuzzRequest): Promise<FuzzAnswer> {
  return new Promise((resolve, reject) => {
    const { method, path, headers, body } = asked;
    const length = body === undefined ? {} : { 'content-length': String(body.length) };
    const req = request(`${url}/`, { agent, method, path, headers: { ...headers, ...length } });
    const limit = realClock.after(HANG_MS, () => req.destroy(new Error(`${described(asked)}\nhas no answer`)));
    const done = (answer: FuzzAnswer): void => {
      limit.cancel();
      resolve(answer);
    };
    req.once('error', (e) => {
      limit.cancel();
      reject(new Error(`${described(asked)}\n${e.message}`, { cause: e }));
    });
    req.once('response', (res) => void read(res).then(done, reject));
    req.once('upgrade', (res, socket) => {
      socket.destroy();
      done({ code: res.statusCode ?? 0, type: '', body: Buffer.alloc(0) });
    });
    req.end(body);
  });
}

async function read(res: IncomingMessage): Promise<FuzzAnswer> {
  const isStream = res.headers['content-length'] === undefined && res.headers['transfer-encoding'] !== undefined;
  const chunks: Buffer[] = [];
  const limit = isStream ? realClock.after(STREAM_MS, () => res.destroy()) : undefined;
  try {
    for await (const chunk of res) chunks.push(chunk as Buffer);
  } catch (e) {
    // Cut by us.
    if (!isStream) throw e;
  } finally {
    limit?.cancel();
  }
  return { code: res.statusCode ?? 0, type: res.headers['content-type'] ?? '', body: Buffer.concat(chunks) };
}

function described({ method, path, headers, body }: FuzzRequest): string {
  const sent = body === undefined ? '' : `\n${body.toString('latin1').slice(0, 2_000)}`;
  return `${method} ${path} ${JSON.stringify(headers)}${sent}`;
}

function inheritedByAll(): unknown {
  return [Object.prototype, Array.prototype, Function.prototype, String.prototype, Map.prototype].map((p) =>
    Reflect.ownKeys(p).map(String),
  );
}

/** What the server logs as an error while it fails a request tells where. */
function failureLogger(failures: unknown[]): Logger {
  const error = (fields: object): void => void failures.push('err' in fields ? fields.err : fields);
  return { ...silentLogger, error, child: () => failureLogger(failures) };
}
