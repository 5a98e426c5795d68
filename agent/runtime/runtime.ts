/**
 * Containers as processes under a supervisor that outlives the agent.
 *
 * Life: `start` (supervisor + OCI runtime `run --detach`) -> running -> exited (by itself or after `kill`) -> `remove`.
 * What is needed to re-adopt a container is in files (`folder`) before its process starts; after an agent restart `list`
 * gives every container found there, with its true state (pid and start time compared, boot id compared).
 */
import type { Readable, Writable } from 'node:stream';
import type { Ctx } from '#lib/base';
import type { OciProcess, OciSpec } from './oci-spec.ts';

export type ContainerId = string & { readonly __brand: 'ContainerId' };

export interface StartContainer {
  /** 64 hex digits. */
  readonly id: ContainerId;
  /** Free text kept beside the container and given back by `list` (pod uid, container name, attempt, spec hash, ...). */
  readonly labels: Readonly<Record<string, string>>;
  readonly spec: OciSpec;
  /** Mounted and ready; the bundle's root. */
  readonly rootfs: string;
  /** undefined: none is written. */
  readonly log: ContainerLog | undefined;
  readonly tty: boolean;
  /** Keep stdin open for attach; otherwise /dev/null. */
  readonly stdin: boolean;
  /** Close stdin when the first attach ends. */
  readonly stdinOnce: boolean;
  /** Of a RuntimeClass; absent or '' = the node's default. */
  readonly handler?: string | undefined;
  /**
   * Called once before the program runs, which waits for it: who attaches here sees the first byte and is read from the first
   * byte on. Its failure is the start's, and then nothing of the container is left.
   */
  readonly beforeRun?: ((attach: Attach) => Promise<void>) | undefined;
}

export type Attach = (o: AttachRequest) => Promise<StreamSession>;

export interface AttachRequest {
  /** With `stdinOnce` the end of this session's stdin, or of the session, is the container's. */
  readonly stdin: boolean;
  /** False: for a resize alone; both outputs are empty. Default true. */
  readonly output?: boolean;
}

/** In the CRI's log format, rotated by the supervisor. */
export interface ContainerLog {
  readonly path: string;
  /** 0 = never rotated. */
  readonly maxBytes: number;
  /** The current one included. */
  readonly maxFiles: number;
}

export type ContainerState =
  | { readonly phase: 'running'; readonly pid: number; readonly startedAtMs: number }
  | {
      readonly phase: 'exited';
      /** 0..255; 128 + signal for a signal death; 137 when unknown (`lost`). */
      readonly exitCode: number;
      readonly signal: number;
      readonly oomKilled: boolean;
      readonly startedAtMs: number;
      readonly finishedAtMs: number;
      /** The record is missing (power loss): nobody saw the exit. */
      readonly lost: boolean;
    };

export interface ContainerRecord {
  readonly id: ContainerId;
  readonly labels: Readonly<Record<string, string>>;
  readonly state: ContainerState;
}

export interface ExecRequest {
  readonly argv: readonly string[];
  /** Added to the container's own environment. */
  readonly env?: readonly string[];
  readonly cwd?: string;
  /** Default: the container's. */
  readonly user?: OciProcess['user'];
  /** All capabilities that the node has, whatever the container's are. */
  readonly privileged?: boolean;
  readonly tty: boolean;
  /** Of the terminal at its begin. */
  readonly size?: { readonly width: number; readonly height: number };
  readonly stdin: boolean;
  readonly timeoutMs?: number;
  /** The end of its session, or of the agent, does not end the process: its stdin ends, what it writes is dropped. */
  readonly outlives?: boolean;
}

/**
 * Streams of an exec or attach. Destroying stdin or the whole session ends an exec's process, unless it `outlives`; an attach
 * only detaches.
 */
export interface StreamSession extends AsyncDisposable {
  readonly stdin: Writable;
  readonly stdout: Readable;
  /** Ends at once with a tty. */
  readonly stderr: Readable;
  resize(width: number, height: number): void;
  /** Of an attach: wall time. Records of the log up to it are not among its output, later ones are. */
  readonly attachedAtNs?: bigint | undefined;
  /** The exit code (exec), or undefined when an attach ends because the container stopped streaming. */
  readonly exit: Promise<number | undefined>;
}

export interface ExecSession extends StreamSession {
  /** On the host. */
  readonly pid: number;
}

export interface Runtime {
  /** Resolves after the container's own program was exec'd. Throws Internal/Invalid with the runtime's message. */
  start(o: StartContainer, c: Ctx): Promise<ContainerState & { phase: 'running' }>;
  /** To the container's init, or every process of it with `all`. Exited or gone is fine. */
  kill(id: ContainerId, signal: string, o: { all?: boolean }, c: Ctx): Promise<void>;
  state(id: ContainerId, c: Ctx): Promise<ContainerState | undefined>;
  /** Kills what runs, removes all traces except the log. Gone is fine. */
  remove(id: ContainerId, c: Ctx): Promise<void>;
  list(c: Ctx): Promise<readonly ContainerRecord[]>;
  /** Called once per exit seen while subscribed, after the exit is durable. */
  onExit(fn: (id: ContainerId, state: ContainerState & { phase: 'exited' }) => void): Disposable;
  exec(id: ContainerId, r: ExecRequest, c: Ctx): Promise<ExecSession>;
  /** Resolves when all that is written from now on will be seen. */
  attach(id: ContainerId, o: AttachRequest, c: Ctx): Promise<StreamSession>;
}
