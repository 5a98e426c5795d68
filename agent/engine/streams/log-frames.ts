/** Records of a log as Docker's clients get them: one frame a record, or bytes alone where there is a terminal. Pure. */
import { parseLines } from '../../pods/log-lines.ts';
import { frameHead, STDERR, STDOUT } from './multiplex.ts';

export interface LogFrameOptions {
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly isMultiplexed: boolean;
  readonly timestamps?: boolean | undefined;
  /** Written before each line, with a blank. */
  readonly details?: string | undefined;
  /** From this instant on. */
  readonly since?: string | undefined;
  /** After this one. */
  readonly after?: string | undefined;
  readonly until?: string | undefined;
}

const NEWLINE = Buffer.from('\n');

export class LogFrames {
  readonly #o: LogFrameOptions;
  readonly #details: Buffer | undefined;
  readonly #atLineStart = { stdout: true, stderr: true };
  #lastTime: string | undefined;
  #isPast = false;

  constructor(o: LogFrameOptions) {
    this.#o = o;
    this.#details = o.details === undefined ? undefined : Buffer.from(`${o.details} `);
  }

  /** Of the last record that was rendered, or passed over. */
  get lastTime(): string | undefined {
    return this.#lastTime;
  }

  /** A record after `until` was seen: the rest is later still. */
  get isPast(): boolean {
    return this.#isPast;
  }

  /** Whole records. */
  render(records: Buffer): Buffer {
    const { since, after, until, isMultiplexed, timestamps } = this.#o;
    const out: Buffer[] = [];
    for (const { time, stream, isFull, text } of parseLines(records).lines) {
      if (until !== undefined && time > until) {
        this.#isPast = true;
        break;
      }
      this.#lastTime = time;
      const isStart = this.#atLineStart[stream];
      this.#atLineStart[stream] = isFull;
      if (!this.#o[stream] || (since !== undefined && time < since) || (after !== undefined && time <= after)) continue;
      const line: Buffer[] = [];
      if (isStart && timestamps) line.push(Buffer.from(`${time} `, 'latin1'));
      if (isStart && this.#details !== undefined) line.push(this.#details);
      line.push(text);
      if (isFull) line.push(NEWLINE);
      const bytes = line.reduce((sum, piece) => sum + piece.length, 0);
      if (isMultiplexed) out.push(frameHead(stream === 'stderr' ? STDERR : STDOUT, bytes));
      out.push(...line);
    }
    return Buffer.concat(out);
  }
}
