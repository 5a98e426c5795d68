/**
 * Records of a container's log in CRI format (`RFC3339Nano stdout|stderr F|P text`), taken apart and made into what a reader
 * asked for. Pure. Bytes stay as they are; a damaged record is given whole, as a line of stdout.
 * Source: kubernetes/design-proposals node/kubelet-cri-logging.md; cri-client/pkg/logs/logs.go.
 */
const NEWLINE = 10;
const SPACE = 32;
const FULL = 70; // F
const STDOUT = Buffer.from('stdout');
const STDERR = Buffer.from('stderr');
/** `2026-01-01T00:00:00.000000000Z`: as the supervisor writes all of them, so that texts compare as instants do. */
const TIME_BYTES = 30;

export interface LogLine {
  /** RFC 3339 with nanoseconds, as written. */
  readonly time: string;
  readonly stream: 'stdout' | 'stderr';
  /** False for a part of a line: no newline after it. */
  readonly isFull: boolean;
  readonly text: Buffer;
}

/** Complete lines of the buffer, and how many bytes they took. */
export function parseLines(buffer: Buffer): { lines: LogLine[]; used: number } {
  const lines: LogLine[] = [];
  let begin = 0;
  for (let end = buffer.indexOf(NEWLINE, begin); end >= 0; end = buffer.indexOf(NEWLINE, begin)) {
    lines.push(parseLine(buffer.subarray(begin, end)));
    begin = end + 1;
  }
  return { lines, used: begin };
}

function parseLine(line: Buffer): LogLine {
  const h = headOf(line, 0, line.length);
  if (h === undefined) return { time: '1970-01-01T00:00:00Z', stream: 'stdout', isFull: true, text: line };
  return {
    time: line.toString('latin1', 0, h.timeEnd),
    stream: h.isStderr ? 'stderr' : 'stdout',
    isFull: h.isFull,
    text: line.subarray(h.textBegin),
  };
}

interface Head {
  readonly timeEnd: number;
  readonly isStderr: boolean;
  readonly isFull: boolean;
  readonly textBegin: number;
}

/** Of the record in [begin, end); undefined when it is none. */
function headOf(b: Buffer, begin: number, end: number): Head | undefined {
  const timeEnd = b[begin + TIME_BYTES] === SPACE ? begin + TIME_BYTES : b.indexOf(SPACE, begin);
  const streamEnd = timeEnd + 7;
  if (timeEnd < begin || streamEnd + 2 >= end || b[streamEnd] !== SPACE) return undefined;
  const isStderr = b.compare(STDERR, 0, STDERR.length, timeEnd + 1, streamEnd) === 0;
  if (!isStderr && b.compare(STDOUT, 0, STDOUT.length, timeEnd + 1, streamEnd) !== 0) return undefined;
  const tagEnd = b[streamEnd + 2] === SPACE ? streamEnd + 2 : b.indexOf(SPACE, streamEnd + 1);
  if (tagEnd < 0 || tagEnd >= end) return undefined;
  return { timeEnd, isStderr, isFull: b[streamEnd + 1] === FULL, textBegin: tagEnd + 1 };
}

/** Whether the record that ends (with its newline) at `end` ends a line. */
export function endsLine(b: Buffer, begin: number, end: number): boolean {
  return headOf(b, begin, end)?.isFull ?? true;
}

export interface LogFormat {
  readonly timestamps?: boolean | undefined;
  readonly stream?: 'Stdout' | 'Stderr' | undefined;
  /** Only lines at or after this instant. */
  readonly sinceMs?: number | undefined;
}

/** Makes what a client sees of whole records; of lines in parts the first part alone carries the time. */
export class LogRenderer {
  readonly #o: LogFormat;
  readonly #since: Buffer | undefined;
  readonly #atLineStart = [true, true];

  constructor(o: LogFormat) {
    this.#o = o;
    if (o.sinceMs !== undefined)
      this.#since = Buffer.from(new Date(Math.max(o.sinceMs, 0)).toISOString().replace('Z', '000000Z'));
  }

  /** `records`: whole ones. One buffer for all of them: a flood is a million lines a second. */
  render(records: Buffer): Buffer {
    /* The head of a record is longer than the time and the newline that may follow from it; a damaged one grows by none. */
    const out = Buffer.allocUnsafe(records.length);
    let size = 0;
    let begin = 0;
    for (let end = records.indexOf(NEWLINE); end >= 0; end = records.indexOf(NEWLINE, begin)) {
      size = this.#record(records, begin, end, out, size);
      begin = end + 1;
    }
    return out.subarray(0, size);
  }

  #record(b: Buffer, begin: number, end: number, out: Buffer, at: number): number {
    const h = headOf(b, begin, end);
    const stream = h?.isStderr ? 1 : 0;
    if (this.#o.stream !== undefined && (this.#o.stream === 'Stderr') !== (stream === 1)) return at;
    if (this.#since !== undefined && this.#isBefore(b, begin, h)) return at;
    let size = at;
    if (this.#o.timestamps && h !== undefined && this.#atLineStart[stream])
      size += b.copy(out, size, begin, h.timeEnd + 1);
    size += b.copy(out, size, h?.textBegin ?? begin, end);
    const isFull = h?.isFull ?? true;
    if (isFull) out[size++] = NEWLINE;
    this.#atLineStart[stream] = isFull;
    return size;
  }

  #isBefore(b: Buffer, begin: number, h: Head | undefined): boolean {
    if (h === undefined || this.#since === undefined) return true;
    if (h.timeEnd - begin === TIME_BYTES) return b.compare(this.#since, 0, TIME_BYTES, begin, h.timeEnd) < 0;
    return Date.parse(b.toString('latin1', begin, h.timeEnd)) < (this.#o.sinceMs ?? 0);
  }
}
