/** `GET /containers/{id}/top`: what the host's ps says of a container's processes. Pure. Source: moby daemon/top_unix.go. */
import { badParameter, EngineError } from '../../http/contract.ts';

export interface TopAnswer {
  readonly Titles: readonly string[];
  readonly Processes: readonly (readonly string[])[];
}

const DEFAULT_ARGUMENTS = '-ef';
const ARGUMENTS_MAX = 64;

/** Throws 400. */
export function psArguments(text: string): readonly string[] {
  const chosen = text === '' ? DEFAULT_ARGUMENTS : text;
  for (const [, key, value] of chosen.matchAll(/\s+([^\s]*)=\s*(PID[^\s]*)/g))
    if (key !== 'pid') throw badParameter(`specifying "${key}=${value}" is not allowed`);
  const list = chosen.split(' ').filter((a) => a !== '');
  if (list.length > ARGUMENTS_MAX) throw badParameter('too many arguments for ps');
  return list;
}

export function parsePs(output: string, pids: ReadonlySet<number>): TopAnswer {
  const [head = '', ...lines] = output.split('\n');
  const titles = fieldsOf(head);
  const at = titles.indexOf('PID');
  if (at < 0) throw new EngineError(500, "Couldn't find PID field in ps output");
  const processes: string[][] = [];
  /* Threads of a process follow it, with '-' for their PID. */
  let isOurs = false;
  for (const line of lines) {
    if (line === '') continue;
    const fields = fieldsOf(line);
    if (fields[at] !== '-') isOurs = pids.has(Number(fields[at]));
    const last = titles.length - 1;
    if (isOurs) processes.push([...fields.slice(0, last), fields.slice(last).join(' ')]);
  }
  return { Titles: titles, Processes: processes };
}

function fieldsOf(line: string): string[] {
  return line.split(/[\t\n\f\r ]+/).filter((f) => f !== '');
}
