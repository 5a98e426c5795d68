/** What a build tells, as lines: each step when it begins and ends, with its time; what RUNs print; at a failure the file's lines. */
import { StringDecoder } from 'node:string_decoder';
import { messageOf } from '#lib/base';
import { DockerfileError, type LineRange } from '../../agent/build/dockerfile/error.ts';
import type { BuildEvent, StepId } from '../../agent/build/solve/progress.ts';

const TITLE_CHARS_MAX = 200;
const AROUND = 3;
const TAIL_LINES = 20;

interface Open {
  readonly decoder: StringDecoder;
  rest: string;
  readonly tail: string[];
}

export class BuildProgress {
  readonly #write: (text: string) => void;
  readonly #open = new Map<string, Open>();
  #failed: { readonly name: string; readonly tail: readonly string[] } | undefined;

  constructor(write: (text: string) => void) {
    this.#write = write;
  }

  on(e: BuildEvent): void {
    switch (e.kind) {
      case 'step-begins':
        this.#write(`${nameOf(e.step)} ${clipped(e.title)}\n`);
        this.#open.set(nameOf(e.step), { decoder: new StringDecoder(), rest: '', tail: [] });
        return;
      case 'output':
        this.#print(e.step, e.data);
        return;
      case 'step-ends':
        this.#end(e);
        return;
      case 'warning':
        this.#write(`warning: ${e.line === undefined ? '' : `line ${e.line}: `}${e.message}\n`);
    }
  }

  /** What failed: its last output, the lines of the Dockerfile around it, and why. */
  failure(e: unknown, dockerfile: string, fileName: string): string {
    const tail = this.#failed === undefined || this.#failed.tail.length === 0 ? [] : this.#failed.tail;
    const output = tail.length === 0 ? '' : `------\n${tail.map((l) => ` > ${l}\n`).join('')}------\n`;
    const lines = e instanceof DockerfileError ? excerpt(dockerfile, e.lines, fileName) : '';
    return `${output}${lines}ERROR: ${messageOf(e)}\n`;
  }

  #print(step: StepId, data: Buffer): void {
    const open = this.#open.get(nameOf(step));
    if (open === undefined) return;
    const lines = (open.rest + open.decoder.write(data)).split('\n');
    open.rest = lines.pop() ?? '';
    for (const line of lines) this.#line(step, open, line);
  }

  #end(e: BuildEvent & { kind: 'step-ends' }): void {
    const name = nameOf(e.step);
    const open = this.#open.get(name);
    if (open !== undefined && open.rest !== '') this.#line(e.step, open, open.rest);
    this.#open.delete(name);
    const words = { cached: 'CACHED', done: `DONE ${seconds(e.durationMs)}`, failed: `ERROR ${seconds(e.durationMs)}` };
    this.#write(`${name} ${words[e.outcome]}\n`);
    if (e.outcome === 'failed' && open !== undefined) this.#failed ??= { name, tail: open.tail };
  }

  #line(step: StepId, open: Open, line: string): void {
    open.tail.push(line);
    if (open.tail.length > TAIL_LINES) open.tail.shift();
    this.#write(`${nameOf(step)} | ${line}\n`);
  }
}

function nameOf(s: StepId): string {
  return `[${s.stage} ${s.number}/${s.total}]`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)}s`;
}

function clipped(title: string): string {
  const line = title.replaceAll(/\s*\n\s*/g, ' ');
  return line.length > TITLE_CHARS_MAX ? `${line.slice(0, TITLE_CHARS_MAX)}…` : line;
}

function excerpt(text: string, { start, end }: LineRange, fileName: string): string {
  const lines = text.replace(/\n$/, '').split('\n');
  const from = Math.max(1, start - AROUND);
  const to = Math.min(lines.length, end + AROUND);
  const width = String(to).length;
  let out = `${fileName}:${start}\n`;
  for (let n = from; n <= to; n++)
    out += ` ${String(n).padStart(width)} | ${n >= start && n <= end ? '>>> ' : '    '}${lines[n - 1] ?? ''}\n`;
  return out;
}
