/** A call of frames toward a node as a NodeStream. */
import { StatusError } from '#lib/base';
import type { LogRequest, NodeStream, NodeStreamRequest } from '#lib/client';
import { type FrameCall, FrameChannels, type Outcome, STDERR, STDIN, STDOUT } from '#proto/channels.ts';
import type { Request } from '#proto/gen/berth/streams/v1/Request.ts';

/** What a call toward a node is, at the server it dialled and, relayed, at another one. */
export interface NodeCall extends FrameCall {
  end(): unknown;
}

/** Asks `request` of the paused call, and gives its streams. `cut` breaks the call off. */
export function nodeStream(call: NodeCall, request: NodeStreamRequest, cut: (e: StatusError) => void): NodeStream {
  let settle: (o: Outcome) => void = () => undefined;
  const result = new Promise<{ exitCode: number }>((resolve, reject) => {
    settle = (o) => ('error' in o ? reject(o.error) : resolve(o));
  });
  // A caller that only reads the output need not look at the result.
  result.catch(() => undefined);
  let isOver = false;
  const channels = new FrameChannels(call, {
    onEnd: (o) => {
      isOver = true;
      settle(o);
      channels.sendEnd({ exitCode: 0 });
      if (!call.destroyed) call.end();
    },
  });
  const stdin = channels.writable(STDIN);
  const stdout = channels.readable(STDOUT);
  const stderr = channels.readable(STDERR);
  call.write({ request: requestFrame(request) });
  call.resume();
  return {
    stdin,
    stdout,
    stderr,
    result,
    resize: (width, height) => channels.resize(width, height),
    async [Symbol.asyncDispose]() {
      if (!isOver) cut(new StatusError('Cancelled', 'the client went away'));
    },
  };
}

const KINDS = {
  logs: 'LOGS',
  exec: 'EXEC',
  attach: 'ATTACH',
  portforward: 'PORT_FORWARD',
  nodeforward: 'NODE_FORWARD',
  podforward: 'POD_FORWARD',
  stats: 'STATS',
} as const;

function requestFrame(r: NodeStreamRequest): Request {
  return {
    kind: KINDS[r.kind],
    pod_uid: r.pod.uid,
    namespace: r.pod.namespace,
    pod: r.pod.name,
    container: r.container,
    command: [...(r.command ?? [])],
    stdin: r.stdin ?? false,
    stdout: r.stdout ?? false,
    stderr: r.stderr ?? false,
    tty: r.tty ?? false,
    port: r.port ?? 0,
    logs: logOptions(r.logs ?? {}),
    path: r.path ?? '',
  };
}

function logOptions(l: LogRequest): NonNullable<Request['logs']> {
  return {
    follow: l.follow ?? false,
    previous: l.previous ?? false,
    timestamps: l.timestamps ?? false,
    since_seconds: l.sinceSeconds ?? -1,
    since_time: l.sinceTime ?? '',
    tail_lines: l.tailLines ?? -1,
    limit_bytes: l.limitBytes ?? -1,
    stream: l.stream ?? '',
  };
}
