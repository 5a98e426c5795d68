/**
 * SPDY/3 header blocks: pairs of strings, compressed with zlib and a fixed dictionary. All blocks of a connection are one
 * zlib stream per direction, each flushed at its end, so they must be packed and unpacked in the order of their frames.
 * Source: SPDY Protocol Draft 3.1 §2.6.10 (dictionary §2.6.10.1); Go reads it in moby/spdystream spdy/dictionary.go.
 */
import { once } from 'node:events';
import { constants, createDeflate, createInflate, type Deflate, type Inflate } from 'node:zlib';
import { StatusError } from '#lib/base';

/** Names of the dictionary's first part; each is preceded by its length as four bytes. */
const DICTIONARY_WORDS =
  'options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow ' +
  'authorization cache-control connection content-base content-encoding content-language content-length content-location ' +
  'content-md5 content-range content-type date etag expect expires from host if-match if-modified-since if-none-match ' +
  'if-range if-unmodified-since last-modified location max-forwards pragma proxy-authenticate proxy-authorization range ' +
  'referer retry-after server te trailer transfer-encoding upgrade user-agent vary via warning www-authenticate method get ' +
  'status 200_OK version HTTP/1.1 url public set-cookie keep-alive origin';
const DICTIONARY_TAIL =
  '100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505' +
  '203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden' +
  '404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable' +
  'Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT' +
  'chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,public' +
  'privatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.';

/** A header block is a few hundred bytes here; a bound stops a small block that unpacks to gigabytes. */
const BLOCK_BYTES_MAX = 64 * 1024;

export function spdyDictionary(): Buffer {
  const words = DICTIONARY_WORDS.split(' ').flatMap((word) => {
    const bytes = Buffer.from(word.replace('_', ' '), 'latin1');
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return [length, bytes];
  });
  return Buffer.concat([...words, Buffer.from(DICTIONARY_TAIL, 'latin1')]);
}

export type SpdyHeaders = ReadonlyMap<string, string>;

/** Packs the header blocks of one direction. Calls must not overlap. */
export class HeaderPacker {
  readonly #deflate: Deflate = createDeflate({ dictionary: spdyDictionary() });
  #out: Buffer[] = [];

  constructor() {
    this.#deflate.on('data', (chunk: Buffer) => this.#out.push(chunk));
  }

  async pack(headers: SpdyHeaders): Promise<Buffer> {
    const parts = [uint32(headers.size)];
    for (const [name, value] of headers) parts.push(...counted(name.toLowerCase()), ...counted(value));
    this.#deflate.write(Buffer.concat(parts));
    await new Promise<void>((resolve) => this.#deflate.flush(constants.Z_SYNC_FLUSH, resolve));
    const block = Buffer.concat(this.#out);
    this.#out = [];
    return block;
  }

  close(): void {
    this.#deflate.close();
  }
}

/** Unpacks the header blocks of one direction. Calls must not overlap. Throws BadRequest if a block is broken or too large. */
export class HeaderUnpacker {
  readonly #inflate: Inflate = createInflate({ dictionary: spdyDictionary() });
  #out: Buffer[] = [];
  #bytes = 0;

  constructor() {
    this.#inflate.on('data', (chunk: Buffer) => {
      this.#bytes += chunk.length;
      if (this.#bytes > BLOCK_BYTES_MAX) this.#inflate.destroy(new Error('SPDY header block too large'));
      else this.#out.push(chunk);
    });
    // Reported by unpack; without a listener the process would end.
    this.#inflate.on('error', () => undefined);
  }

  async unpack(block: Buffer): Promise<SpdyHeaders> {
    const aborted = new AbortController();
    try {
      const failed = once(this.#inflate, 'close', { signal: aborted.signal }).then(() => {
        throw new StatusError('BadRequest', 'broken SPDY header block');
      });
      const done = new Promise<void>((resolve, reject) => {
        this.#inflate.write(block, (e) => (e ? reject(e) : this.#inflate.flush(() => resolve())));
      });
      failed.catch(() => undefined);
      await Promise.race([done, failed]);
    } catch (e) {
      throw new StatusError('BadRequest', 'broken SPDY header block', { cause: e });
    } finally {
      aborted.abort();
    }
    const bytes = Buffer.concat(this.#out);
    this.#out = [];
    this.#bytes = 0;
    return parsePairs(bytes);
  }

  close(): void {
    this.#inflate.close();
  }
}

function parsePairs(bytes: Buffer): SpdyHeaders {
  const headers = new Map<string, string>();
  let at = 0;
  const number = (): number => {
    if (at + 4 > bytes.length) throw new StatusError('BadRequest', 'short SPDY header block');
    at += 4;
    return bytes.readUInt32BE(at - 4);
  };
  const text = (): string => {
    const length = number();
    if (at + length > bytes.length) throw new StatusError('BadRequest', 'short SPDY header block');
    at += length;
    return bytes.toString('utf8', at - length, at);
  };
  const count = number();
  for (let i = 0; i < count; i++) {
    const name = text().toLowerCase();
    // Several values of one name are joined by NUL; we want the first, as Go's Header.Get gives it.
    headers.set(name, text().split('\0')[0] ?? '');
  }
  return headers;
}

function uint32(n: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(n);
  return bytes;
}

function counted(text: string): [Buffer, Buffer] {
  const bytes = Buffer.from(text, 'utf8');
  return [uint32(bytes.length), bytes];
}
