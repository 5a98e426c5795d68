/**
 * Starts one attempt of a container: image, root, volumes, environment, user, OCI spec, process. Each failure is a
 * StartFailure with the waiting reason the API shows; what was made before it is removed by the caller's next try or by
 * the pod's end (all of it carries the container's id).
 * Source: kubernetes pkg/kubelet/kuberuntime/kuberuntime_container.go (startContainer).
 */
import { chmod, mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { allEnded, type Ctx, isKind, isMissing, messageOf, raceAbort, removeFile } from '#lib/base';
import { containerDevices } from '../../devices/container-devices.ts';
import type { Image } from '../../images/images.ts';
import { isolate } from '../../runtime/isolation/isolate.ts';
import { type CgroupHost, ociResourcesOf } from '../../runtime/oci-resources.ts';
import type { ContainerId } from '../../runtime/runtime.ts';
import { type BindMount, ociSpecOf } from '../../runtime/spec.ts';
import { isRecursiveReadOnly } from '../../volumes/recursive-read-only.ts';
import type { PodDeps } from '../deps.ts';
import { type EnvSources, environmentOf, expand, expandSubPath } from '../env.ts';
import { envFileValues } from '../env-file.ts';
import type { Attempt, ContainerRole, ContainerSpec, PodObject } from '../model.ts';
import type { PodEvents } from '../pod-events.ts';
import { oomScoreAdj } from '../resources.ts';
import type { Slots } from '../slots.ts';
import { resolveUser, userText } from '../user.ts';
import { ensureImage, StartFailure } from './image.ts';
import { imageConfigVolumes } from './image-config-volumes.ts';
import { ensureImageVolumes, imageVolumeFailure } from './image-volumes.ts';
import { makeMountParents } from './mount-parents.ts';
import { pidTargetOf } from './pid-namespace.ts';
import { canMountRecursiveReadOnly, runtimeHandlerOf } from './runtime-class.ts';
import { podFolder, podLogFolder, type Sandbox, savePod } from './sandbox.ts';
import { checkUser, giveToPod } from './user-namespace.ts';

export interface StartRequest {
  /** As it is when asked: labels may change during a long pull. */
  readonly pod: () => PodObject;
  readonly role: ContainerRole;
  readonly spec: ContainerSpec;
  readonly attempt: number;
  readonly backOff: number;
  /** See restart-all.ts. */
  readonly round: number;
  readonly sandbox: Sandbox;
  readonly events: PodEvents;
  /** Resolves when the containers before it in the spec have been started. */
  readonly turn: Promise<unknown>;
  /** Of another container of the pod, as it is when asked. */
  readonly attemptOf: (container: string) => Attempt | undefined;
}

/** Labels kept beside the container on disk: what re-adoption needs. */
export const LABELS = {
  uid: 'berth.pod.uid',
  container: 'berth.container',
  attempt: 'berth.attempt',
  backOff: 'berth.back-off',
  round: 'berth.round',
  sandbox: 'berth.sandbox',
  image: 'berth.image',
  imageId: 'berth.image-id',
  stopSignal: 'berth.stop-signal',
  resources: 'berth.resources',
  user: 'berth.user',
} as const;

/**
 * Pulls at once, creates when its `turn` has come. `slots` bounds what costs this machine; a pull waits for others and holds
 * none, or slow ones would stop every start.
 */
export async function startContainer(d: PodDeps, r: StartRequest, slots: Slots, c: Ctx): Promise<Attempt> {
  const image = await ensureImage(d, r.pod(), r.spec, r.events, c);
  await ensureImageVolumes(d, r.pod(), r.spec, r.events, c);
  await raceAbort(r.turn, c.signal);
  return slots.use(() => createContainer(d, r, image, c), c);
}

async function createContainer(d: PodDeps, r: StartRequest, image: Image, c: Ctx): Promise<Attempt> {
  const id = d.random.hex(32) as ContainerId;
  try {
    return await createAndStart(d, r, { image, id }, c);
  } catch (e) {
    await discard(d, r, id, c);
    if (e instanceof StartFailure || isKind(e, 'Cancelled')) throw e;
    throw new StartFailure('CreateContainerError', messageOf(e), e);
  }
}

async function createAndStart(
  d: PodDeps,
  r: StartRequest,
  o: { image: Image; id: ContainerId },
  c: Ctx,
): Promise<Attempt> {
  const { spec, sandbox } = r;
  const pod = r.pod();
  d.kernel.cgroups.expectMove();
  const devices = await containerDevices((await d.devices?.given(pod.metadata.uid ?? '', spec.name, c)) ?? []);
  const environment = await orConfigError(async () => {
    const fileValues = await envFileValues(d, pod, spec, c);
    const own = environmentOf(pod, spec, { ...envSources(d, pod, sandbox), fileValues });
    return new Map([...devices.environment, ...own]);
  });
  const [rootfs, path, volumes] = await allEnded([
    d.images.mountRoot(o.id, o.image, c, sandbox.userNamespace),
    prepareLog(d, pod, spec.name, r.attempt, o.id),
    orConfigError(() => bindsOf(d, r, environment, c)),
  ]);
  const { image } = o;
  const { userNamespace } = sandbox;
  const own = await orConfigError(() => imageConfigVolumes(d, { rootfs, image, taken: volumes, userNamespace }, c));
  const taken = new Set([...own, ...volumes].map((b) => b.target));
  const binds = [...own, ...volumes, ...devices.binds.filter((b) => !taken.has(b.target))];
  const [user] = await allEnded([
    orConfigError(() => resolveUser(rootfs, o.image.config.user, pod.spec.securityContext, spec.securityContext)),
    makeMountParents(
      rootfs,
      binds.map((b) => b.target),
      userNamespace?.ids.first,
    ),
  ]);
  await orConfigError(async () => checkUser(pod, userNamespace, user));
  const args = argumentsOf(spec, o.image, environment);
  /* It came after the sandbox: an agent that finds it running must know of it. */
  if (r.role === 'ephemeral') await savePod(d, pod);
  const pid = await orConfigError(() => pidTargetOf(d, { ...r, pod }, c));
  const ns = join(sandbox.folder, 'ns');
  const plain = ociSpecOf({
    pod,
    container: spec,
    image: o.image.config,
    rootfs,
    cgroupPath: `${sandbox.cgroup}/${o.id}`,
    namespaces: { ...namespacePaths(pod, ns), ...(pid === undefined ? {} : { pid: pid.path }) },
    userNamespace,
    environment,
    args,
    user,
    binds,
    resources: ociResourcesOf(pod, spec, cgroupHost(d, pod, spec)),
    hasCgroupNamespace: d.kernel.cgroups.version === 'v2',
    oomScoreAdj: oomScoreAdj(pod, spec, d.settings.memoryBytes),
    hostname: sandbox.hostname,
    devices,
  });
  const oci = await isolate(plain, { pod, container: spec }, d.settings.isolation);
  const handler = await runtimeHandlerOf(d, pod, sandbox.folder);
  r.events.normal('Created', `Created container: ${spec.name}`, spec.name);
  const stopSignal = o.image.config.stopSignal || 'SIGTERM';
  const labels = {
    [LABELS.uid]: pod.metadata.uid ?? '',
    [LABELS.container]: spec.name,
    [LABELS.attempt]: String(r.attempt),
    [LABELS.backOff]: String(r.backOff),
    [LABELS.round]: String(r.round),
    [LABELS.sandbox]: sandbox.id,
    [LABELS.image]: spec.image ?? '',
    [LABELS.imageId]: o.image.repoDigest,
    [LABELS.stopSignal]: stopSignal,
    [LABELS.resources]: JSON.stringify(spec.resources ?? {}),
    [LABELS.user]: userText(user),
  };
  const state = await d.runtime
    .start(
      {
        id: o.id,
        labels,
        spec: oci,
        rootfs,
        log: { path, maxBytes: d.settings.logMaxBytes, maxFiles: d.settings.logMaxFiles },
        tty: spec.tty === true,
        stdin: spec.stdin === true,
        stdinOnce: spec.stdinOnce === true,
        handler,
      },
      c,
    )
    .catch((e: unknown) => {
      r.events.warning('Failed', `Error: ${messageOf(e)}`, spec.name);
      throw new StartFailure('RunContainerError', messageOf(e), e);
    });
  await pid?.check(c);
  r.events.normal('Started', `Started container ${spec.name}`, spec.name);
  const { attempt, backOff, round } = r;
  const ran = { image: spec.image ?? '', imageId: o.image.repoDigest };
  const { resources = {} } = spec;
  return { id: o.id, attempt, backOff, round, sandbox: sandbox.id, state, ...ran, stopSignal, user, resources };
}

function cgroupHost(d: PodDeps, pod: PodObject, spec: ContainerSpec): CgroupHost {
  const { facts, version } = d.kernel.cgroups;
  const { killsOneProcess } = d.settings;
  return { ...facts, version, killsOneProcess, cpus: d.cpus?.cpusOf(pod.metadata.uid ?? '', spec.name) };
}

/** Removes what a failed start left. Runs to its end even when the pod was cancelled meanwhile. */
async function discard(d: PodDeps, r: StartRequest, id: ContainerId, c: Ctx): Promise<void> {
  const own = { ...c, signal: new AbortController().signal };
  await d.runtime
    .remove(id, own)
    .catch((e: unknown) => c.log.warn({ err: e, container: id }, 'removing a failed container failed'));
  await d.images
    .removeRoot(id, own)
    .catch((e: unknown) => c.log.warn({ err: e, container: id }, 'removing a failed root failed'));
  await removeFile(logLink(d, r.pod(), r.spec.name, id));
}

async function orConfigError<T>(fn: () => Promise<T>): Promise<T> {
  try {
    return await fn();
  } catch (e) {
    if (isKind(e, 'Cancelled') || e instanceof StartFailure) throw e;
    throw new StartFailure('CreateContainerConfigError', messageOf(e), e);
  }
}

function namespacePaths(pod: PodObject, ns: string): { network?: string; ipc?: string; uts?: string } {
  if (pod.spec.hostNetwork) return pod.spec.hostIPC ? {} : { ipc: join(ns, 'ipc') };
  return { network: join(ns, 'net'), uts: join(ns, 'uts'), ...(pod.spec.hostIPC ? {} : { ipc: join(ns, 'ipc') }) };
}

function envSources(d: PodDeps, pod: PodObject, sandbox: Sandbox): Omit<EnvSources, 'fileValues'> {
  const namespace = pod.metadata.namespace ?? '';
  return {
    configMap: (name) => d.objects.get('configmaps', namespace, name),
    secret: (name) => d.objects.secret(namespace, name),
    services: d.objects
      .list('services')
      .filter(
        (s) =>
          s.metadata.namespace === namespace ||
          (s.metadata.namespace === 'default' && s.metadata.name === 'kubernetes'),
      ),
    podIp: sandbox.podIp,
    hostIp: d.settings.nodeIp,
    nodeName: d.settings.nodeName,
    allocatable: d.settings.allocatable,
  };
}

/** command replaces ENTRYPOINT and drops CMD; args replaces CMD. */
function argumentsOf(spec: ContainerSpec, image: Image, env: ReadonlyMap<string, string>): string[] {
  const command = (spec.command ?? []).map((a) => expand(a, env));
  const args = (spec.args ?? []).map((a) => expand(a, env));
  const entrypoint = command.length > 0 ? command : image.config.entrypoint;
  const rest = args.length > 0 ? args : command.length > 0 ? [] : image.config.cmd;
  const all = [...entrypoint, ...rest];
  if (all.length === 0)
    throw new StartFailure(
      'CreateContainerError',
      'no command specified: neither the container nor its image names one',
    );
  return all;
}

async function bindsOf(d: PodDeps, r: StartRequest, env: ReadonlyMap<string, string>, c: Ctx): Promise<BindMount[]> {
  const { spec, sandbox } = r;
  const etc = join(sandbox.folder, 'etc');
  const mounts = spec.volumeMounts ?? [];
  const taken = new Set(mounts.map((m) => m.mountPath.replace(/\/+$/, '')));
  const plain = { readOnly: false, propagation: 'rprivate', hasPodIds: true } as const;
  const own: BindMount[] = [
    { source: join(etc, 'hosts'), target: '/etc/hosts', ...plain },
    { source: join(etc, 'resolv.conf'), target: '/etc/resolv.conf', ...plain },
    { source: join(etc, 'hostname'), target: '/etc/hostname', ...plain },
    { source: r.pod().spec.hostIPC ? '/dev/shm' : join(sandbox.folder, 'shm'), target: '/dev/shm', ...plain },
    {
      source: await terminationFile(sandbox, spec.name, r.attempt),
      target: spec.terminationMessagePath || '/dev/termination-log',
      ...plain,
    },
  ];
  const out = own.filter((b) => !taken.has(b.target));
  for (const [mountIndex, m] of mounts.entries()) {
    /* An older one could undo a refresh of its files. */
    const pod = r.pod();
    const subPath =
      m.subPathExpr !== undefined && m.subPathExpr !== '' ? expandSubPath(m.subPathExpr, env) : (m.subPath ?? '');
    const request = { pod, volumeName: m.name, containerName: spec.name, mountIndex, subPath };
    const prepare = subPath === '' ? d.volumes.prepare({ pod, volumeName: m.name }, c) : d.volumes.subPath(request, c);
    const volume = await prepare.catch((e: unknown) => {
      throw imageVolumeFailure(pod, m.name, e);
    });
    const propagation =
      m.mountPropagation === 'Bidirectional'
        ? 'rshared'
        : m.mountPropagation === 'HostToContainer'
          ? 'rslave'
          : 'rprivate';
    out.push({
      source: volume.hostPath,
      target: m.mountPath,
      readOnly: volume.readOnly || m.readOnly === true,
      isRecursiveReadOnly: isRecursiveReadOnly(m, canMountRecursiveReadOnly(d, pod)),
      propagation,
      hasPodIds: volume.hasPodIds,
    });
  }
  return out;
}

export function terminationPath(podFolder: string, container: string, attempt: number): string {
  return join(podFolder, 'termination', `${container}-${attempt}`);
}

async function terminationFile(sandbox: Sandbox, container: string, attempt: number): Promise<string> {
  const path = terminationPath(sandbox.folder, container, attempt);
  await mkdir(join(sandbox.folder, 'termination'), { recursive: true });
  await writeFile(path, '');
  await chmod(path, 0o666); // Whatever our umask is: the program may be any user.
  await giveToPod(sandbox.userNamespace, path);
  return path;
}

/** The log's folder, and the link that log collectors look for: it is found again by the folder, which is there before it. */
async function prepareLog(d: PodDeps, pod: PodObject, container: string, attempt: number, id: string): Promise<string> {
  const path = logPath(d, pod, container, attempt);
  const link = logLink(d, pod, container, id);
  await mkdir(dirname(path), { recursive: true });
  await symlink(path, link).catch(async (e: unknown) => {
    if (!isMissing(e)) throw e;
    await mkdir(dirname(link), { recursive: true });
    await symlink(path, link);
  });
  return path;
}

export function logPath(d: PodDeps, pod: PodObject, container: string, attempt: number): string {
  return join(podLogFolder(d, pod), container, `${attempt}.log`);
}

function logLink(d: PodDeps, pod: PodObject, container: string, id: string): string {
  const name = `${pod.metadata.name}_${pod.metadata.namespace ?? ''}_${container}-${id}.log`;
  return join(d.settings.logFolder, 'containers', name);
}

/** The files of an attempt that is neither the latest nor the one before it: logs, their link, the termination message. */
export async function forgetAttempt(
  d: PodDeps,
  pod: PodObject,
  container: string,
  a: Pick<Attempt, 'id' | 'attempt'>,
): Promise<void> {
  const path = logPath(d, pod, container, a.attempt);
  const names = await readdir(dirname(path)).catch(() => [] as string[]);
  const own = names.filter((n) => n === basename(path) || n.startsWith(`${basename(path)}.`));
  const message = terminationPath(podFolder(d, pod.metadata.uid ?? ''), container, a.attempt);
  const all = [logLink(d, pod, container, a.id), message, ...own.map((n) => join(dirname(path), n))];
  await Promise.all(all.map(removeFile));
}
