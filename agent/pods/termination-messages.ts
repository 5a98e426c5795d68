/**
 * What the containers of a pod wrote to their termination message file, or for want of it last logged, read once after each
 * end and kept for the attempts that the status names.
 * Source: kubernetes pkg/kubelet/kuberuntime (getTerminationMessage, readLastStringFromContainerLogs), pkg/kubelet/container
 * (MaxContainerTerminationMessageLength and its siblings), pkg/kubelet/status (normalizeStatus).
 */
import { open } from 'node:fs/promises';
import { type LogLine, parseLines } from './log-lines.ts';
import { type Attempt, containersOf, type PodObject, type PodObservation } from './model.ts';
import { terminationPath } from './steps/container.ts';

const MESSAGE_BYTES_MAX = 4096;
/** Shared equally by the containers of a pod. */
const POD_BYTES_MAX = 12 << 10;
const LOG_LINES_MAX = 80;
const LOG_BYTES_MAX = 2048;
/** Holds LOG_LINES_MAX short records with their prefixes, or one of the longest (16 KiB) whole. */
const LOG_READ_BYTES = 40 << 10;

export interface MessageFiles {
  /** The pod's. */
  readonly folder: string;
  readonly logPath: (container: string, attempt: number) => string;
}

export class TerminationMessages {
  readonly #files: MessageFiles;
  readonly #onRead: () => void;
  /** By container id; '' when there is none. At most two of each container of the pod. */
  readonly #known = new Map<string, string>();
  readonly #reading = new Map<string, Promise<void>>();

  /** `onRead`: `of` may have an answer now. */
  constructor(files: MessageFiles, onRead: () => void) {
    this.#files = files;
    this.#onRead = onRead;
  }

  /** By container id; undefined while some are being read: an end is told together with its message. */
  of(pod: PodObject, seen: PodObservation): Readonly<Record<string, string>> | undefined {
    const all = containersOf(pod);
    const bytesMax = Math.floor(POD_BYTES_MAX / Math.max(all.length, 1));
    const out: Record<string, string> = {};
    const wanted = new Set<string>();
    for (const [name, c] of Object.entries(seen.containers)) {
      const policy = all.find(({ spec }) => spec.name === name)?.spec.terminationMessagePolicy;
      for (const a of [c.latest, c.previous]) {
        if (a?.state.phase !== 'exited') continue;
        wanted.add(a.id);
        const text = this.#known.get(a.id);
        if (text !== undefined) out[a.id] = headOf(text, bytesMax);
        else if (!this.#reading.has(a.id)) this.#reading.set(a.id, this.#read(name, a, policy));
      }
    }
    for (const id of this.#known.keys()) if (!wanted.has(id)) this.#known.delete(id);
    return [...wanted].every((id) => this.#known.has(id)) ? out : undefined;
  }

  /** Resolves when nothing is being read. */
  async settled(): Promise<void> {
    await Promise.all(this.#reading.values());
  }

  async #read(container: string, a: Attempt, policy: string | undefined): Promise<void> {
    const { folder, logPath } = this.#files;
    let text = (await endOf(terminationPath(folder, container, a.attempt), MESSAGE_BYTES_MAX)).toString('utf8');
    const isFailure = a.state.phase === 'exited' && a.state.exitCode !== 0;
    if (text === '' && isFailure && policy === 'FallbackToLogsOnError')
      text = await lastOutput(logPath(container, a.attempt));
    this.#known.set(a.id, text);
    this.#reading.delete(a.id);
    this.#onRead();
  }
}

/** What the log says last, over one rotation. */
async function lastOutput(path: string): Promise<string> {
  let lines: readonly LogLine[] = [];
  for (const file of [path, `${path}.1`]) {
    lines = [...recordsIn(await endOf(file, LOG_READ_BYTES)), ...lines].slice(-LOG_LINES_MAX);
    if (lines.length >= LOG_LINES_MAX || outputOf(lines).length >= LOG_BYTES_MAX) break;
  }
  return outputOf(lines)
    .subarray(-LOG_BYTES_MAX)
    .toString('utf8')
    .replace(/^\ufffd+/, '');
}

/** Where a file was cut at its beginning the first record is not whole. */
function recordsIn(end: Buffer): readonly LogLine[] {
  return parseLines(end.length < LOG_READ_BYTES ? end : end.subarray(end.indexOf(10) + 1)).lines;
}

function outputOf(lines: readonly LogLine[]): Buffer {
  return Buffer.concat(lines.flatMap((l) => (l.isFull ? [l.text, NEWLINE] : [l.text])));
}

const NEWLINE = Buffer.from('\n');

/** The last bytes of a file; none when it cannot be read. */
async function endOf(path: string, bytesMax: number): Promise<Buffer> {
  const file = await open(path, 'r').catch(() => undefined);
  if (file === undefined) return Buffer.alloc(0);
  try {
    const { size } = await file.stat();
    const length = Math.min(size, bytesMax);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length);
    return buffer.subarray(0, bytesRead);
  } catch {
    return Buffer.alloc(0);
  } finally {
    await file.close();
  }
}

/** Never half a character. */
function headOf(text: string, bytesMax: number): string {
  const bytes = Buffer.from(text);
  return bytes.length <= bytesMax
    ? text
    : bytes
        .subarray(0, bytesMax)
        .toString('utf8')
        .replace(/\ufffd+$/, '');
}
