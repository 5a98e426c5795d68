/**
 * The execs of all containers: those that were made, those that run, and for ten minutes those that have ended, so that who
 * started one can ask for its exit code. They are not kept on disk: Docker forgets them with its daemon as well.
 */
import type { ContainerId, ExecSession } from '../../runtime/runtime.ts';
import { deferred } from '../../runtime/streams.ts';
import { EngineError } from '../http/contract.ts';
import type { ExecCreate } from './exec-request.ts';

export type ExecPhase =
  | { readonly phase: 'created' }
  | { readonly phase: 'starting' }
  | { readonly phase: 'running'; readonly session: ExecSession }
  | { readonly phase: 'ended'; readonly exitCode: number; readonly pid: number; readonly atMs: number };

export class Exec {
  readonly id: string;
  readonly containerId: ContainerId;
  readonly request: ExecCreate;
  /** Of the request's; undefined = the container's. */
  readonly user: ExecUser | undefined;
  state: ExecPhase = { phase: 'created' };
  /** Resolves when it is no longer created or starting: undefined if it could not be started. */
  readonly started = deferred<ExecSession | undefined>();

  constructor(o: { id: string; containerId: ContainerId; request: ExecCreate; user: ExecUser | undefined }) {
    this.id = o.id;
    this.containerId = o.containerId;
    this.request = o.request;
    this.user = o.user;
  }
}

export interface ExecUser {
  readonly uid: number;
  readonly gid: number;
  readonly additionalGids: number[];
}

const REMEMBERED_MS = 600_000;
const EXECS_MAX = 4_096;

export class ExecStore {
  /** In the order of their making. */
  readonly #execs = new Map<string, Exec>();

  /** Throws 503 when nothing can be forgotten for it. */
  add(exec: Exec, nowMs: number): void {
    for (const [id, { state }] of this.#execs)
      if (state.phase === 'ended' && nowMs - state.atMs >= REMEMBERED_MS) this.#execs.delete(id);
    if (this.#execs.size >= EXECS_MAX && !this.#forgetOne('ended') && !this.#forgetOne('created'))
      throw new EngineError(503, `too many exec instances: ${EXECS_MAX} are running`);
    this.#execs.set(exec.id, exec);
  }

  /** A prefix is not enough, as with Docker. */
  get(id: string, nowMs: number): Exec | undefined {
    const exec = this.#execs.get(id);
    return exec?.state.phase === 'ended' && nowMs - exec.state.atMs >= REMEMBERED_MS ? undefined : exec;
  }

  /** Those that have not ended. */
  of(containerId: ContainerId): readonly string[] {
    return [...this.#execs.values()]
      .filter((e) => e.containerId === containerId && e.state.phase !== 'ended')
      .map((e) => e.id);
  }

  running(): readonly ExecSession[] {
    return [...this.#execs.values()].flatMap(({ state }) => (state.phase === 'running' ? [state.session] : []));
  }

  #forgetOne(phase: ExecPhase['phase']): boolean {
    for (const [id, { state }] of this.#execs) if (state.phase === phase) return this.#execs.delete(id);
    return false;
  }
}
