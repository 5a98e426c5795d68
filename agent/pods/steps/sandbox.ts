/**
 * The sandbox of a pod: its cgroup, pinned namespaces, address, volumes and /etc files. Everything below one folder,
 * `<folder>/<uid>/`, whose `pod.json` is written before anything else, so that a crash leaves nothing without an owner.
 * All steps are idempotent: after an agent restart the same calls re-adopt what exists.
 */
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { allEnded, type Ctx, removeFile, removeFolder, StatusError, writeFileAtomic } from '#lib/base';
import { dottedSysctl } from '../../admission/sysctls.ts';
import type { PinnedNamespace } from '../../kernel/kernel.ts';
import { hostFile } from '../../network/host-file.ts';
import { hostsText, kernelHostname, resolvConfText } from '../../network/hosts.ts';
import type { HostPort, SandboxId } from '../../network/network.ts';
import type { UserNamespace } from '../../user-namespaces/ranges.ts';
import { setUpFailure } from '../../volumes/volume.ts';
import type { PodDeps } from '../deps.ts';
import { containersOf, type PodObject } from '../model.ts';
import { podCgroupLimits, qosClassOf } from '../resources.ts';
import type { Slots } from '../slots.ts';
import { saveRuntimeHandler } from './runtime-class.ts';
import { giveToPod, userNamespaceOf } from './user-namespace.ts';

export interface Sandbox {
  /** Another one once any part of it had to be made again: containers that ran before ran in another sandbox. */
  readonly id: string;
  readonly podIp: string;
  readonly folder: string;
  readonly cgroup: string;
  readonly hostname: string;
  readonly userNamespace?: UserNamespace | undefined;
}

/** Low ports and ping without a capability: programs need no set-uid bit for them, which no_new_privs would take away. */
const PING_GROUPS = 'net.ipv4.ping_group_range';
const PING_GROUP_MAX = 2_147_483_647;
const POD_SYSCTLS = { 'net.ipv4.ip_unprivileged_port_start': '0', [PING_GROUPS]: `0 ${PING_GROUP_MAX}` };
const SHM_BYTES = 64 << 20;
const KERNEL_HOSTNAME_MAX = 64;

export function podFolder(d: PodDeps, uid: string): string {
  return join(d.settings.folder, uid);
}

export function podCgroup(d: PodDeps, pod: PodObject): string {
  return cgroupPath(d, qosClassOf(pod), pod.metadata.uid ?? '');
}

function cgroupPath(d: PodDeps, qos: string, uid: string): string {
  const parent = qos === 'Guaranteed' ? d.settings.cgroupParent : `${d.settings.cgroupParent}/${qos.toLowerCase()}`;
  return `${parent}/pod${uid}`;
}

/** What the pod's cgroup may limit on this node. */
export function limitable(d: PodDeps): Parameters<typeof podCgroupLimits>[1] {
  return { pageSizes: d.kernel.cgroups.facts.pageSizes, podPidsLimit: d.settings.podPidsLimit };
}

export function podHostname(d: PodDeps, pod: PodObject): string {
  if (pod.spec.hostNetwork) return d.settings.nodeName;
  return kernelHostname(pod, d.settings.clusterDomain());
}

/** Throws Invalid for a name that the kernel cannot hold; only a whole one can be so long. */
function checkHostname(pod: PodObject, hostname: string): void {
  if (pod.spec.setHostnameAsFQDN !== true || pod.spec.hostNetwork || hostname.length <= KERNEL_HOSTNAME_MAX) return;
  throw new StatusError(
    'Invalid',
    `failed to construct FQDN from pod hostname and cluster domain, FQDN ${hostname} is too long (${KERNEL_HOSTNAME_MAX} characters is the max, ${hostname.length} characters requested)`,
  );
}

/** What waits for others than this node, before the sandbox and outside the slots of starts. The pod's folder names the owner first. */
export async function prepareRemoteVolumes(d: PodDeps, pod: PodObject, c: Ctx): Promise<void> {
  const { volumes = [] } = pod.spec;
  if (!volumes.some((v) => v.csi !== undefined || v.persistentVolumeClaim !== undefined || v.ephemeral !== undefined))
    return;
  await mkdir(podFolder(d, pod.metadata.uid ?? ''), { recursive: true, mode: 0o755 });
  await savePod(d, pod);
  await d.volumes.prepareRemote(pod, c);
}

/**
 * Throws StatusError; nothing half-made needs undoing, since a later call or `removeSandbox` goes on from there. What costs this
 * machine is done in one of the slots; volumes are begun there but may take their time outside: a storage that hangs would stop
 * every start.
 */
export async function makeSandbox(d: PodDeps, pod: PodObject, slots: Slots, c: Ctx): Promise<Sandbox> {
  let volumes: Promise<void> = Promise.resolve();
  const onSaved = (): void => {
    volumes = prepareVolumes(d, pod, c);
    volumes.catch(() => undefined); // Awaited below, perhaps long after it has failed.
  };
  const parts = slots.use(() => makeParts(d, pod, onSaved, c), c);
  const [sandbox] = await allEnded([
    parts,
    parts.then(
      () => volumes,
      () => volumes,
    ),
  ]);
  await writeEtc(d, pod, sandbox);
  return sandbox;
}

/** All but volumes and files of /etc. `onSaved`: on disk is whose all that comes will be. */
async function makeParts(d: PodDeps, pod: PodObject, onSaved: () => void, c: Ctx): Promise<Sandbox> {
  const uid = pod.metadata.uid ?? '';
  const folder = podFolder(d, uid);
  const hostname = podHostname(d, pod);
  checkHostname(pod, hostname);
  const isNew = (await mkdir(folder, { recursive: true, mode: 0o755 })) !== undefined;
  await mkdir(join(folder, 'etc'), { recursive: true, mode: 0o755 });
  await savePod(d, pod);
  await saveRuntimeHandler(d, pod, folder);
  const userNamespace = await userNamespaceOf(d, pod, folder);
  onSaved();
  /* The mount table of a full node is long. */
  const mounted = new Set(isNew ? [] : await d.kernel.mounts.below(folder, c));
  const id = await sandboxId(d, pod, { folder, mounted });
  const cgroup = podCgroup(d, pod);
  const [podIp] = await allEnded([
    joinNetwork(d, pod, { folder, hostname, userNamespace }, c),
    d.kernel.cgroups.ensure(cgroup, podCgroupLimits(pod, limitable(d)), c),
    shareMemory(d, { folder, mounted, userNamespace }, c),
  ]);
  return { id, podIp, folder, cgroup, hostname, userNamespace };
}

/** Known on disk before any part is made, so that a sandbox that is whole has the id it was made under. */
async function sandboxId(
  d: PodDeps,
  pod: PodObject,
  { folder, mounted }: { folder: string; mounted: ReadonlySet<string> },
): Promise<string> {
  const kinds = [...namespacesOf(pod), ...(pod.spec.hostUsers === false ? ['user'] : [])];
  const parts = [join(folder, 'shm'), ...kinds.map((kind) => join(folder, 'ns', kind))];
  const path = join(folder, 'sandbox');
  const known = await readFile(path, 'utf8').catch(() => '');
  if (known !== '' && parts.every((p) => mounted.has(p))) return known;
  const id = d.random.hex(8);
  await writeFile(path, id, { mode: 0o600 });
  return id;
}

function namespacesOf(pod: PodObject): readonly PinnedNamespace[] {
  return pod.spec.hostNetwork ? ['ipc'] : ['net', 'ipc', 'uts'];
}

async function joinNetwork(
  d: PodDeps,
  pod: PodObject,
  o: { folder: string; hostname: string; userNamespace: UserNamespace | undefined },
  c: Ctx,
): Promise<string> {
  const sysctls: Record<string, string> = pod.spec.hostNetwork ? {} : { ...POD_SYSCTLS };
  if (o.userNamespace !== undefined) {
    const { ids } = o.userNamespace;
    await d.kernel.namespaces.pinUser(join(o.folder, 'ns'), { kinds: namespacesOf(pod), ids }, c);
    sysctls[PING_GROUPS] = `0 ${Math.min(ids.count - 1, PING_GROUP_MAX)}`;
  }
  for (const s of pod.spec.securityContext?.sysctls ?? []) sysctls[dottedSysctl(s.name)] = s.value;
  await d.kernel.namespaces.pin(join(o.folder, 'ns'), { kinds: namespacesOf(pod), hostname: o.hostname, sysctls }, c);
  if (pod.spec.hostNetwork) return d.settings.nodeIp;
  const hostPorts: HostPort[] = [];
  for (const { spec } of containersOf(pod)) {
    for (const p of spec.ports ?? []) {
      if (!p.hostPort) continue;
      const protocol = (p.protocol ?? 'TCP') as HostPort['protocol'];
      hostPorts.push({ hostIp: p.hostIP ?? '', hostPort: p.hostPort, containerPort: p.containerPort, protocol });
    }
  }
  const attachment = await d.network.attach(
    { id: pod.metadata.uid as SandboxId, netns: join(o.folder, 'ns/net'), hostPorts },
    c,
  );
  return attachment.ip;
}

async function shareMemory(
  d: PodDeps,
  o: { folder: string; mounted: ReadonlySet<string>; userNamespace: UserNamespace | undefined },
  c: Ctx,
): Promise<void> {
  const target = join(o.folder, 'shm');
  if (o.mounted.has(target)) return;
  await mkdir(target, { recursive: true });
  await d.kernel.mounts.tmpfs(target, { sizeBytes: SHM_BYTES, mode: 0o1777 }, c);
  await giveToPod(o.userNamespace, target);
}

async function prepareVolumes(d: PodDeps, pod: PodObject, c: Ctx): Promise<void> {
  const prepare = async ({ name }: { readonly name: string }): Promise<void> => {
    try {
      await d.volumes.prepare({ pod, volumeName: name }, c);
    } catch (e) {
      throw setUpFailure(name, e);
    }
  };
  /* Images are pulled before their containers, outside the slots of starts. */
  await allEnded((pod.spec.volumes ?? []).filter((v) => v.image === undefined).map(prepare));
}

async function writeEtc(
  d: PodDeps,
  pod: PodObject,
  o: Pick<Sandbox, 'folder' | 'hostname' | 'podIp' | 'userNamespace'>,
): Promise<void> {
  const clusterDomain = d.settings.clusterDomain();
  const etc = join(o.folder, 'etc');
  const upstream = hostFile('/etc/resolv.conf');
  const nodeHosts = pod.spec.hostNetwork ? hostFile('/etc/hosts') : '';
  await Promise.all([
    writeFile(join(etc, 'hosts'), hostsText(pod, { podIps: [o.podIp], clusterDomain, hostFile: nodeHosts })),
    writeFile(
      join(etc, 'resolv.conf'),
      resolvConfText(pod, { dnsServerIp: d.network.dnsServerIp, clusterDomain, hostFile: upstream }),
    ),
    writeFile(join(etc, 'hostname'), `${o.hostname}\n`),
  ]);
  await giveToPod(o.userNamespace, ...['hosts', 'resolv.conf', 'hostname'].map((name) => join(etc, name)));
}

/**
 * Order matters: containers are gone, then the network, then the mounts, then the folder that names the owner. Volumes go with
 * it: what an ended pod held of memory and disk is free before its object is deleted, as with the kubelet.
 */
export async function removeSandbox(d: PodDeps, pod: PodObject, c: Ctx): Promise<void> {
  const uid = pod.metadata.uid ?? '';
  const folder = podFolder(d, uid);
  if (!pod.spec.hostNetwork) await d.network.detach(uid as SandboxId, c);
  await d.kernel.namespaces.unpin(join(folder, 'ns'), c);
  await d.kernel.mounts.unmount(join(folder, 'shm'), c);
  await d.volumes.cleanup(uid, c);
  await d.kernel.cgroups.remove(podCgroup(d, pod), c);
}

/** The last trace of a pod on this node, whose sandbox is gone: logs, folder. */
export async function removePodFiles(d: PodDeps, pod: PodObject, c: Ctx): Promise<void> {
  const uid = pod.metadata.uid ?? '';
  await removeLogs(d, pod);
  await d.kernel.removeTree(podFolder(d, uid), c);
  await d.userNamespaces.release(uid);
}

export function podLogFolder(d: PodDeps, pod: PodObject): string {
  return join(
    d.settings.logFolder,
    'pods',
    `${pod.metadata.namespace ?? ''}_${pod.metadata.name}_${pod.metadata.uid ?? ''}`,
  );
}

async function removeLogs(d: PodDeps, pod: PodObject): Promise<void> {
  await removeFolder(podLogFolder(d, pod));
  await removeDeadLinks(d, pod.metadata.name, pod.metadata.namespace ?? '');
}

async function removeDeadLinks(d: PodDeps, name: string, namespace: string): Promise<void> {
  const links = join(d.settings.logFolder, 'containers');
  const names = await readdir(links).catch(() => []);
  const ours = names.filter((n) => n.startsWith(`${name}_${namespace}_`));
  await Promise.all(ours.map((n) => removeDeadLink(join(links, n))));
}

/** A link of the same pod name but another uid must stay. */
async function removeDeadLink(path: string): Promise<void> {
  const target = await stat(path).catch(() => undefined);
  if (target === undefined) await removeFile(path);
}

/** A pod of which only the uid is known: its pod.json was never written, or the machine lost it. Its containers are gone. */
export async function removeNamelessPod(d: PodDeps, uid: string, c: Ctx): Promise<void> {
  const folder = podFolder(d, uid);
  await d.network.detach(uid as SandboxId, c);
  await d.volumes.cleanup(uid, c);
  await d.kernel.namespaces.unpin(join(folder, 'ns'), c);
  await d.kernel.mounts.unmount(join(folder, 'shm'), c);
  for (const qos of ['Guaranteed', 'Burstable', 'BestEffort'])
    await d.kernel.cgroups.remove(cgroupPath(d, qos, uid), c);
  const logs = join(d.settings.logFolder, 'pods');
  const names = await readdir(logs).catch(() => [] as string[]);
  for (const n of names.filter((n) => n.endsWith(`_${uid}`))) {
    await removeFolder(join(logs, n));
    /* Neither part of a folder's name, see podLogFolder, can hold the character between them. */
    const [namespace = '', name = ''] = n.split('_');
    await removeDeadLinks(d, name, namespace);
  }
  await d.kernel.removeTree(folder, c);
  await d.userNamespaces.release(uid);
}

/** The owner of what is in the folder, and which containers to look for. */
export async function savePod(d: PodDeps, pod: PodObject): Promise<void> {
  const path = join(podFolder(d, pod.metadata.uid ?? ''), 'pod.json');
  await writeFileAtomic(path, JSON.stringify(pod), { mode: 0o600, durable: false });
}

/** The pod as it was when its sandbox was made or its newest ephemeral container started: for containers that no wish names any more. */
export async function savedPod(d: PodDeps, uid: string): Promise<PodObject | undefined> {
  const text = await readFile(join(podFolder(d, uid), 'pod.json'), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as PodObject;
  } catch (e) {
    throw new StatusError('Internal', `${podFolder(d, uid)}/pod.json is damaged`, { cause: e });
  }
}
