/**
 * The registry as a client of the cluster's API, over node:https with its own certificate (`system:berth-registry`): a process that
 * mostly idles loads no HTTP library for it. Certificates are read again when they are another, so that renewed ones are taken.
 */
import { readFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { Agent, request } from 'node:https';
import { join } from 'node:path';
import { type Ctx, messageOf, StatusError } from '#lib/base';

export interface ApiOptions {
  /** `https://host:port`. */
  readonly server: string;
  /** With ca.crt, registry.crt and registry.key. */
  readonly pkiFolder: string;
}

const TIMEOUT_MS = 15_000;
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;
const CONNECTIONS_MAX = 8;

interface Pair {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export class ClusterApi implements Disposable {
  readonly #o: ApiOptions;
  #pair: Pair | undefined;
  #agent: Agent | undefined;

  constructor(o: ApiOptions) {
    this.#o = o;
  }

  /** One answer of JSON. Throws Unavailable for whatever is not a 2xx, with the reason. */
  async call(method: 'GET' | 'POST', path: string, body: object | undefined, c: Ctx): Promise<unknown> {
    const agent = await this.#connections();
    const limit = new AbortController();
    using _timer = c.clock.after(TIMEOUT_MS, () => limit.abort());
    const signal = AbortSignal.any([c.signal, limit.signal]);
    try {
      const answer = await send(`${this.#o.server}${path}`, { method, agent, signal }, body);
      const text = await readAll(answer);
      const status = answer.statusCode ?? 0;
      if (status >= 200 && status < 300) return JSON.parse(text);
      throw new Error(`status ${status}: ${text.slice(0, 300)}`);
    } catch (e) {
      const why = limit.signal.aborted ? 'no answer in time' : messageOf(e);
      throw new StatusError('Unavailable', `the API server cannot be asked (${method} ${path}): ${why}`, { cause: e });
    }
  }

  [Symbol.dispose](): void {
    this.#agent?.destroy();
  }

  async #connections(): Promise<Agent> {
    const pair = await this.#read();
    const known = this.#pair;
    if (this.#agent !== undefined && known?.cert === pair.cert && known.key === pair.key && known.ca === pair.ca)
      return this.#agent;
    this.#agent?.destroy();
    this.#pair = pair;
    this.#agent = new Agent({ ...pair, keepAlive: true, maxSockets: CONNECTIONS_MAX });
    return this.#agent;
  }

  async #read(): Promise<Pair> {
    const file = (name: string): Promise<string> => readFile(join(this.#o.pkiFolder, name), 'utf8');
    try {
      const [ca, cert, key] = await Promise.all([file('ca.crt'), file('registry.crt'), file('registry.key')]);
      return { ca, cert, key };
    } catch (e) {
      const why = `the registry has no certificate yet: ${messageOf(e)}`;
      throw new StatusError('Unavailable', why, { cause: e });
    }
  }
}

function send(
  url: string,
  o: { method: string; agent: Agent; signal: AbortSignal },
  body: object | undefined,
): Promise<IncomingMessage> {
  const bytes = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
  const headers = {
    accept: 'application/json',
    'user-agent': 'berth-registry',
    ...(bytes && { 'content-type': 'application/json', 'content-length': bytes.length }),
  };
  return new Promise((resolve, reject) => {
    const sent = request(url, { ...o, headers }, resolve);
    sent.on('error', reject);
    sent.end(bytes);
  });
}

async function readAll(answer: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of answer) {
    if (!Buffer.isBuffer(piece)) continue;
    size += piece.length;
    if (size > ANSWER_BYTES_MAX) throw new Error(`more than ${ANSWER_BYTES_MAX} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString('utf8');
}
