/**
 * One JSON document over https, as small services publish them (OpenID discovery, key sets): bounded in time and size, no
 * redirects, verified by the given authorities or else by those that Node trusts.
 */
import type { Agent } from 'undici';
import { type Ctx, StatusError } from '#lib/base';

export interface HttpsJsonOptions {
  /** PEM; absent = the machine's trusted roots. */
  readonly caPem?: string | undefined;
  /** For the whole of one document. */
  readonly timeoutMs: number;
  readonly bytesMax: number;
}

export class HttpsJson implements AsyncDisposable {
  readonly #o: HttpsJsonOptions;
  #agent: Promise<Agent> | undefined;

  constructor(o: HttpsJsonOptions) {
    this.#o = o;
  }

  /** Throws Unavailable with the reason, Invalid for an address that is not https. */
  async get(url: string, c: Ctx): Promise<unknown> {
    if (!URL.canParse(url) || new URL(url).protocol !== 'https:')
      throw new StatusError('Invalid', `${url} is not an https address`);
    const limit = new AbortController();
    const timer = c.clock.after(this.#o.timeoutMs, () => limit.abort(unavailable(url, 'no answer in time')));
    try {
      const { default: undici } = await import('undici');
      const signal = AbortSignal.any([c.signal, limit.signal]);
      const headers = { accept: 'application/json', 'user-agent': 'berth' };
      const answer = await undici.request(url, { dispatcher: await this.#open(), headers, signal });
      if (answer.statusCode !== 200) {
        // Not destroy: a body that nobody reads tells of it by an error that nobody hears.
        await answer.body.dump({ limit: this.#o.bytesMax });
        throw unavailable(url, `status ${answer.statusCode}`);
      }
      return JSON.parse(await this.#text(answer.body, url));
    } catch (e) {
      if (e instanceof StatusError) throw e;
      if (c.signal.aborted) throw c.signal.reason;
      throw limit.signal.aborted ? limit.signal.reason : unavailable(url, e instanceof Error ? e.message : '', e);
    } finally {
      timer.cancel();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const agent = await this.#agent;
    this.#agent = undefined;
    await agent?.destroy();
  }

  async #text(body: AsyncIterable<Buffer>, url: string): Promise<string> {
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of body) {
      bytes += chunk.length;
      if (bytes > this.#o.bytesMax) throw unavailable(url, `more than ${this.#o.bytesMax} bytes`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString('utf8');
  }

  #open(): Promise<Agent> {
    const { caPem: ca, timeoutMs } = this.#o;
    this.#agent ??= import('undici').then(
      ({ default: undici }) =>
        new undici.Agent({
          connect: { timeout: timeoutMs, ...(ca === undefined ? {} : { ca }) },
          headersTimeout: timeoutMs,
          bodyTimeout: timeoutMs,
          connections: 1,
        }),
    );
    return this.#agent;
  }
}

function unavailable(url: string, why: string, cause?: unknown): StatusError {
  return new StatusError('Unavailable', `${url}: ${why}`, cause === undefined ? {} : { cause });
}
