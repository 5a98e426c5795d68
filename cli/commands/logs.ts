/** `berth logs`: of a container, a workload's pod, or all pods of a selector, printed as the bytes come. */
import { type DeepReadonly, Kinds, type Pod } from '#lib/api';
import { messageOf, StatusError, timeText } from '#lib/base';
import { resourcePath, withQuery } from '#lib/client';
import { type AccessOptions, type Session, withSession } from '../client/access.ts';
import { parseCount, parseDuration, wrongUse } from '../client/arguments.ts';
import { podOf, podsBySelector } from '../client/pods.ts';

export interface LogsOptions extends AccessOptions {
  readonly follow?: boolean;
  readonly tail?: string;
  readonly container?: string;
  readonly allContainers?: boolean;
  readonly since?: string;
  readonly sinceTime?: string;
  readonly previous?: boolean;
  readonly timestamps?: boolean;
  readonly limitBytes?: string;
  readonly selector?: string;
  readonly prefix?: boolean;
}

const TAIL_OF_MANY = '10';
/** Each followed log holds a connection and a stream on its node. */
const FOLLOWED_MAX = 20;

interface Source {
  readonly pod: DeepReadonly<Pod>;
  /** Absent = the server chooses, or says that it cannot. */
  readonly container: string | undefined;
}

export async function logsCommand(target: string | undefined, o: LogsOptions): Promise<number> {
  return await withSession(o, (s) => logs(target, o, s));
}

export async function logs(target: string | undefined, o: LogsOptions, s: Session): Promise<number> {
  if ((target === undefined) === (o.selector === undefined))
    throw wrongUse('say whose: a pod, a workload such as deploy/NAME, or -l SELECTOR');
  if (o.since !== undefined && o.sinceTime !== undefined) throw wrongUse('give --since or --since-time, not both');
  if (o.container !== undefined && o.allContainers === true) throw wrongUse('give -c or --all-containers, not both');
  const query = logQuery(o, s.c.clock.now());
  const sources = (await chosenPods(target, o, s)).flatMap((pod) => containersOf(pod, o));
  if (sources.length === 0) {
    s.err.write(`No pods match ${o.selector ?? ''} in namespace ${s.namespace}.\n`);
    return 0;
  }
  const [only, second] = sources;
  if (only !== undefined && second === undefined && o.prefix !== true) {
    await printLog(only, query, s);
    return 0;
  }
  if (o.follow !== true) {
    for (const source of sources) await printLines(source, query, o.prefix === true, s);
    return 0;
  }
  if (sources.length > FOLLOWED_MAX)
    throw wrongUse(`${sources.length} logs are too many to follow (at most ${FOLLOWED_MAX}): narrow the selector`);
  await Promise.all(sources.map((source) => printLines(source, query, o.prefix === true, s)));
  return 0;
}

async function chosenPods(target: string | undefined, o: LogsOptions, s: Session): Promise<DeepReadonly<Pod>[]> {
  if (o.selector !== undefined) return (await podsBySelector(o.selector, s)).reverse();
  return [await podOf(target ?? '', s)];
}

function containersOf(pod: DeepReadonly<Pod>, o: LogsOptions): Source[] {
  if (o.allContainers !== true) return [{ pod, container: o.container }];
  const all = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
  return all.map((x) => ({ pod, container: x.name }));
}

export function logQuery(o: LogsOptions, nowMs: number): Record<string, string | undefined> {
  const tail = o.tail ?? (o.selector === undefined ? undefined : TAIL_OF_MANY);
  const lines = tail === undefined ? -1 : parseCount('--tail', tail, -1);
  if (o.sinceTime !== undefined && Number.isNaN(Date.parse(o.sinceTime)))
    throw wrongUse(`--since-time ${o.sinceTime}: a time such as ${timeText(nowMs)}`);
  const sinceMs = o.since === undefined ? undefined : parseDuration('--since', o.since);
  return {
    follow: o.follow === true ? 'true' : undefined,
    previous: o.previous === true ? 'true' : undefined,
    timestamps: o.timestamps === true ? 'true' : undefined,
    tailLines: lines < 0 ? undefined : String(lines),
    sinceSeconds: sinceMs === undefined ? undefined : String(Math.max(1, Math.ceil(sinceMs / 1000))),
    sinceTime: o.sinceTime,
    limitBytes: o.limitBytes === undefined ? undefined : String(parseCount('--limit-bytes', o.limitBytes, 1)),
  };
}

async function open(
  source: Source,
  query: Record<string, string | undefined>,
  s: Session,
): Promise<AsyncIterable<Buffer>> {
  const { namespace, name } = source.pod.metadata;
  const path = withQuery(resourcePath(Kinds.pods, { namespace, name, subresource: 'log' }), {
    ...query,
    container: source.container,
  });
  try {
    return (await s.client.raw({ method: 'GET', path, accept: '*/*', stream: true }, s.c)).body;
  } catch (e) {
    throw explained(e, source.pod);
  }
}

/** Not started yet is the common case: then the pod's state says more than the node's answer. */
function explained(e: unknown, pod: DeepReadonly<Pod>): unknown {
  if (!(e instanceof StatusError)) return e;
  const { name } = pod.metadata;
  if (pod.spec?.nodeName === undefined || pod.spec.nodeName === '')
    return new StatusError(
      'Unavailable',
      `pod ${name} is not on a node yet (phase ${pod.status?.phase ?? 'Pending'}): 'berth get events' tells why`,
      { cause: e },
    );
  const waiting = pod.status?.containerStatuses?.find((x) => x.state?.waiting !== undefined)?.state?.waiting;
  if (waiting === undefined) return e;
  const why = [waiting.reason, waiting.message].filter((x) => x !== undefined && x !== '').join(': ');
  return new StatusError(e.kind, `${messageOf(e)} (the container waits: ${why})`, { cause: e });
}

async function printLog(source: Source, query: Record<string, string | undefined>, s: Session): Promise<void> {
  for await (const chunk of await open(source, query, s)) await written(s, chunk);
}

/** Whole lines, so that those of several logs do not mix. */
async function printLines(
  source: Source,
  query: Record<string, string | undefined>,
  hasPrefix: boolean,
  s: Session,
): Promise<void> {
  const { name } = source.pod.metadata;
  const container = source.container ?? source.pod.spec?.containers[0]?.name ?? '';
  const prefix = hasPrefix ? `[pod/${name}/${container}] ` : '';
  let rest = Buffer.alloc(0);
  for await (const chunk of await open(source, query, s)) {
    const all = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    const end = all.lastIndexOf(10) + 1;
    rest = Buffer.from(all.subarray(end));
    if (end > 0) await written(s, withPrefix(all.subarray(0, end), prefix));
  }
  if (rest.length > 0) await written(s, withPrefix(Buffer.concat([rest, Buffer.from('\n')]), prefix));
}

function withPrefix(lines: Buffer, prefix: string): Buffer | string {
  if (prefix === '') return lines;
  return lines.toString('utf8').replace(/^(?=[\s\S])/gm, prefix);
}

/** A slow terminal holds the stream back. */
async function written(s: Session, bytes: Uint8Array | string): Promise<void> {
  const out = s.out as Partial<NodeJS.WriteStream>;
  if (s.out.write(bytes) !== false || out.once === undefined) return;
  await new Promise<void>((resolve) => out.once?.('drain', () => resolve()));
}
