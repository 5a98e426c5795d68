/**
 * Reads one HTTP/1.1 answer from pieces of any size, as much of it as a probe tells of: status, Location, the beginning of the
 * body. Each part has a bound, so a server that never ends costs a few kilobytes until the probe's time is over. Pure.
 * Source: RFC 9112; net/http (ReadResponse, persistConn.readResponse, internal/chunked.go).
 */
export interface HttpResponse {
  readonly status: number;
  readonly location: string | undefined;
  /** Its first `BODY_BYTES_MAX` bytes. */
  readonly body: Buffer;
}

export const BODY_BYTES_MAX = 10 << 10;
/** Of one head, as Node's own limit. */
const HEAD_BYTES_MAX = 16 << 10;
/** Heads of 1xx before the one that counts. */
const INTERIM_MAX = 5;
/** Size of a chunk in hexadecimal digits, with extensions. */
const CHUNK_LINE_MAX = 4096;
const SHOWN_MAX = 64;

type Part =
  | { readonly phase: 'head' }
  /** `left` undefined: up to the end of the connection. */
  | { readonly phase: 'plain'; left: number | undefined }
  | { readonly phase: 'chunkSize' }
  | { readonly phase: 'chunk'; left: number }
  | { readonly phase: 'chunkEnd' }
  | { readonly phase: 'done' };

export class ResponseReader {
  #part: Part = { phase: 'head' };
  /** Taken in and not used yet. */
  #rest: Buffer = Buffer.alloc(0);
  #status = 0;
  #location: string | undefined;
  #interim = 0;
  readonly #body: Buffer[] = [];
  #bodyBytes = 0;

  /** The head has come: what is missing is body. */
  get hasHead(): boolean {
    return this.#part.phase !== 'head';
  }

  /** The answer, as soon as there is enough of it. Throws for what is no HTTP. */
  push(piece: Buffer): HttpResponse | undefined {
    this.#rest = this.#rest.length === 0 ? piece : Buffer.concat([this.#rest, piece]);
    while (this.#part.phase !== 'done') if (!this.#step()) return undefined;
    return this.#answer();
  }

  /** The connection has ended. Throws where that is too early. */
  end(): HttpResponse {
    const part = this.#part;
    if (part.phase === 'head') throw new Error(this.#rest.length === 0 ? 'EOF' : 'unexpected EOF');
    if (part.phase !== 'done' && !(part.phase === 'plain' && part.left === undefined))
      throw new Error('unexpected EOF');
    return this.#answer();
  }

  #answer(): HttpResponse {
    return { status: this.#status, location: this.#location, body: Buffer.concat(this.#body) };
  }

  /** False when more bytes are needed. */
  #step(): boolean {
    const part = this.#part;
    if (part.phase === 'head') return this.#head();
    if (part.phase === 'chunkSize') return this.#chunkSize();
    if (part.phase === 'chunkEnd') {
      const line = this.#line(1);
      if (line === undefined) return false;
      if (line !== '') throw new Error('malformed chunked encoding');
      this.#part = { phase: 'chunkSize' };
      return true;
    }
    if (part.phase === 'done') return false;
    return this.#take(part);
  }

  #take(part: Extract<Part, { left: number | undefined }>): boolean {
    if (this.#rest.length === 0) return false;
    const wanted = Math.min(part.left ?? Number.POSITIVE_INFINITY, this.#rest.length);
    const kept = this.#rest.subarray(0, Math.min(wanted, BODY_BYTES_MAX - this.#bodyBytes));
    this.#body.push(kept);
    this.#bodyBytes += kept.length;
    this.#rest = this.#rest.subarray(wanted);
    if (part.left !== undefined) part.left -= wanted;
    if (this.#bodyBytes >= BODY_BYTES_MAX) this.#part = { phase: 'done' };
    else if (part.left === 0) this.#part = part.phase === 'chunk' ? { phase: 'chunkEnd' } : { phase: 'done' };
    return true;
  }

  #chunkSize(): boolean {
    const line = this.#line(CHUNK_LINE_MAX);
    if (line === undefined) return false;
    const size = /^[ \t]*([0-9a-fA-F]{1,12})[ \t]*(?:;.*)?$/.exec(line)?.[1];
    if (size === undefined) throw new Error('invalid byte in chunk length');
    const left = Number.parseInt(size, 16);
    /* Nobody asks for the trailers. */
    this.#part = left === 0 ? { phase: 'done' } : { phase: 'chunk', left };
    return true;
  }

  /** Up to the next line feed; throws when it is not among the first `max` bytes. */
  #line(max: number): string | undefined {
    const at = this.#rest.indexOf(10);
    if (at > max || (at < 0 && this.#rest.length > max)) throw new Error('malformed chunked encoding');
    if (at < 0) return undefined;
    const line = this.#rest.toString('latin1', 0, at);
    this.#rest = this.#rest.subarray(at + 1);
    return line.endsWith('\r') ? line.slice(0, -1) : line;
  }

  #head(): boolean {
    const size = headSize(this.#rest);
    if ((size ?? this.#rest.length) > HEAD_BYTES_MAX)
      throw new Error(`net/http: server response headers exceeded ${HEAD_BYTES_MAX} bytes; aborted`);
    if (size === undefined) {
      checkBeginning(this.#rest);
      return false;
    }
    const [first = '', ...lines] = this.#rest.toString('latin1', 0, size).trimEnd().split(/\r?\n/);
    this.#rest = this.#rest.subarray(size);
    const status = /^HTTP\/1\.[01] (\d{3})(?: .*)?$/.exec(first)?.[1];
    if (status === undefined) throw malformed(first);
    this.#status = Number(status);
    if (this.#status < 200 && this.#status !== 101) {
      if (++this.#interim > INTERIM_MAX) throw new Error('net/http: too many 1xx informational responses');
      return true;
    }
    this.#part = this.#bodyOf(headersOf(lines));
    return true;
  }

  #bodyOf(headers: ReadonlyMap<string, string>): Part {
    this.#location = headers.get('location');
    if (this.#status === 101 || this.#status === 204 || this.#status === 304) return { phase: 'done' };
    const coding = headers.get('transfer-encoding');
    if (coding !== undefined) {
      if (coding.toLowerCase() !== 'chunked')
        throw new Error(`unsupported transfer encoding: ${JSON.stringify(coding.slice(0, SHOWN_MAX))}`);
      return { phase: 'chunkSize' };
    }
    const length = headers.get('content-length');
    if (length === undefined) return { phase: 'plain', left: undefined };
    if (!/^\d{1,15}$/.test(length)) throw new Error(`bad Content-Length ${JSON.stringify(length.slice(0, SHOWN_MAX))}`);
    return length === '0' ? { phase: 'done' } : { phase: 'plain', left: Number(length) };
  }
}

/** With the empty line that ends it. */
function headSize(bytes: Buffer): number | undefined {
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) {
    if (bytes[at + 1] === 10) return at + 2;
    if (bytes[at + 1] === 13 && bytes[at + 2] === 10) return at + 3;
  }
  return undefined;
}

/** Who speaks another protocol first may wait for an answer that never comes: that is told at once. */
function checkBeginning(bytes: Buffer): void {
  const word = bytes.toString('latin1', 0, 'HTTP/'.length);
  if (!'HTTP/'.startsWith(word)) throw malformed(bytes.toString('latin1', 0, SHOWN_MAX).split('\n', 1)[0] ?? '');
}

function malformed(line: string): Error {
  return new Error(`malformed HTTP response ${JSON.stringify(line.slice(0, SHOWN_MAX))}`);
}

/** By lower-case name, the first of each. */
function headersOf(lines: readonly string[]): ReadonlyMap<string, string> {
  const out = new Map<string, string>();
  for (const line of lines) {
    /* More of the line before (RFC 9112, 5.2). */
    if (/^[ \t]/.test(line) && out.size > 0) continue;
    const colon = line.indexOf(':');
    if (colon <= 0) throw new Error(`malformed MIME header line: ${line.slice(0, SHOWN_MAX)}`);
    const name = line.slice(0, colon).toLowerCase();
    if (!out.has(name)) out.set(name, line.slice(colon + 1).trim());
  }
  return out;
}
