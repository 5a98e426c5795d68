/** Namespaces that a container shares with the host or with another container. Source: moby daemon/oci_linux.go (WithNamespaces), container_operations_unix.go. */
import { conflict, EngineError } from '../../http/contract.ts';
import type { ContainerRecord } from '../../parts.ts';
import type { HostConfig } from '../../types.ts';
import type { LifeState } from '../life/state.ts';

/** Another container, as far as who shares with it looks. */
export interface Peer {
  readonly record: ContainerRecord;
  readonly state: LifeState;
}

export type PeerOf = (text: string) => Peer;

const CONTAINER = 'container:';

/** The container that a mode names; undefined for another mode. */
export function peerOf(mode: string | undefined, find: PeerOf): Peer | undefined {
  return mode?.startsWith(CONTAINER) === true ? find(mode.slice(CONTAINER.length)) : undefined;
}

/** Throws what a start fails with where the other does not run. */
export function runningPeer(
  mode: string | undefined,
  what: string,
  find: PeerOf,
): { peer: Peer; pid: number } | undefined {
  const peer = peerOf(mode, find);
  if (peer === undefined) return undefined;
  const { state, record } = peer;
  if (state.phase === 'restarting')
    throw conflict(`Container ${record.id} is restarting, wait until the container is running`);
  if (state.phase !== 'running' && state.phase !== 'paused')
    throw conflict(`cannot join ${what} of a non running container: ${record.id}`);
  return { peer, pid: state.run.pid };
}

export interface SharedNamespaces {
  readonly ipc: string | undefined;
  readonly pid: string | undefined;
  readonly uts: string | undefined;
  readonly cgroup: string | undefined;
  /** The container whose /dev/shm it uses. */
  readonly shmOf: Peer | undefined;
}

/** '' = one of its own, undefined = the host's. */
export function sharedNamespaces(h: HostConfig, find: PeerOf): SharedNamespaces {
  const ipc = runningPeer(h.IpcMode, 'IPC', find);
  if (
    ipc !== undefined &&
    ipc.peer.record.hostConfig.IpcMode !== 'shareable' &&
    ipc.peer.record.hostConfig.IpcMode !== 'host'
  )
    throw new EngineError(
      500,
      `cannot join IPC of container ${ipc.peer.record.id}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)`,
    );
  const pid = runningPeer(h.PidMode, 'PID namespace', find);
  return {
    ipc: h.IpcMode === 'host' ? undefined : ipc === undefined ? '' : `/proc/${ipc.pid}/ns/ipc`,
    pid: h.PidMode === 'host' ? undefined : pid === undefined ? '' : `/proc/${pid.pid}/ns/pid`,
    uts: h.UTSMode === 'host' ? undefined : '',
    cgroup: h.CgroupnsMode === 'private' ? '' : undefined,
    shmOf: ipc?.peer,
  };
}
