/**
 * The port between the API server and the nodes for bytes that belong to one container: exec, attach, logs, port-forward.
 * services/gateway implements it over the agents' second connections; the API server's subresource handlers call it.
 *
 * Life of a stream: openStream resolves when the node has answered; write `stdin` and end it; read `stdout` and `stderr`
 * to their ends; `result` settles after both have ended. Dispose at any time to cut it: the node then stops the exec.
 * Logs and port-forward use `stdout` (from the node) and, for port-forward, `stdin` (to the node).
 */
import type { Readable, Writable } from 'node:stream';
import type { Ctx } from '#lib/base';

export interface LogRequest {
  readonly follow?: boolean | undefined;
  readonly previous?: boolean | undefined;
  readonly timestamps?: boolean | undefined;
  readonly sinceSeconds?: number | undefined;
  /** RFC 3339. */
  readonly sinceTime?: string | undefined;
  readonly tailLines?: number | undefined;
  readonly limitBytes?: number | undefined;
  /** Absent = both. */
  readonly stream?: 'Stdout' | 'Stderr' | undefined;
}

export interface NodeStreamRequest {
  /**
   * `portforward`: a port inside the pod, its loopback too; `podforward`: one of its address; `nodeforward`: one of the node's
   * own address, `stats`: a page of the node's own, with `pod` empty.
   */
  readonly kind: 'logs' | 'exec' | 'attach' | 'portforward' | 'podforward' | 'nodeforward' | 'stats';
  readonly pod: { readonly namespace: string; readonly name: string; readonly uid: string };
  /** '' for portforward and nodeforward. */
  readonly container: string;
  readonly command?: readonly string[] | undefined;
  readonly stdin?: boolean | undefined;
  readonly stdout?: boolean | undefined;
  readonly stderr?: boolean | undefined;
  readonly tty?: boolean | undefined;
  /** Of portforward and nodeforward only. */
  readonly port?: number | undefined;
  readonly logs?: LogRequest | undefined;
  /** Of stats only: `stats`, `metrics`, `metrics/resource`, `metrics/cadvisor`, `stats/summary`; `pod` is empty. */
  readonly path?: string | undefined;
}

export interface NodeStream extends AsyncDisposable {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Size of the terminal, in characters. */
  resize(width: number, height: number): void;
  /** Rejects with StatusError; `exitCode` is 0 for logs and port-forward. Never an unhandled rejection. */
  readonly result: Promise<{ readonly exitCode: number }>;
}

export interface NodeStreams {
  /** Throws Unavailable when the node has no session here, DeadlineExceeded when it does not answer, and the node's own error. */
  openStream(nodeName: string, request: NodeStreamRequest, c: Ctx): Promise<NodeStream>;
}
