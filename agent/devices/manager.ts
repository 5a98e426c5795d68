/**
 * Devices that plugins bring: they register at kubelet.sock, say what they have for as long as they live, and are asked for what a
 * container gets. A container keeps its devices over restarts, of itself and of the agent.
 * Source: kubernetes pkg/kubelet/cm/devicemanager (manager.go, endpoint.go, plugin/v1beta1/server.go).
 */
import { lstat, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isQualifiedName } from '#lib/api';
import { type Ctx, messageOf, Scope, StatusError } from '#lib/base';
import { Changes } from '../csi/changes.ts';
import { PluginClient, refuseNoSocket } from '../plugins/client.ts';
import { KeyedLock } from '../plugins/keyed-lock.ts';
import { servePlugins } from '../plugins/server.ts';
import type { PodFailure, PodObject } from '../pods/model.ts';
import { type Allocation, DeviceAllocations, type PodDevices } from './allocations.ts';
import { available, chosen, type DeviceNeed, deviceNeeds } from './choose.ts';
import { Pace } from './pace.ts';
import type { ResourceDevices } from './pod-resources.ts';
import {
  type ContainerAllocation,
  type Device,
  type DevicePluginOptions,
  type DevicePluginService,
  deviceServices,
  type RegisterRequest,
  VERSION,
} from './protocol.ts';

export interface DeviceManagerOptions {
  /** The kubelet's device-plugins. */
  readonly folder: string;
  /** What is remembered. */
  readonly path: string;
  /** The node's capacity or allocatable is another one. */
  onChange(): void;
}

interface Plugin {
  readonly resource: string;
  readonly client: PluginClient;
  readonly options: DevicePluginOptions;
  readonly stop: AbortController;
  /** Id -> the device; empty until the plugin has said. */
  devices: ReadonlyMap<string, Device>;
  /** Since it does not answer, none of them may be given. */
  endedAtMs: number | undefined;
}

const CALL_MS = 60_000;
const PRE_START_MS = 30_000;
/** A plugin that is started anew registers within that. */
const PLUGIN_MS = 30_000;
/** Then its resource is none of the node's any more. */
const ENDED_MS = 300_000;
const DEVICES_MAX = 4_096;
/** What a plugin says in a second without waiting: each message may change the node's status. */
const MESSAGES_PER_SECOND = 20;
const PLUGINS_MAX = 100;
const NO_OPTIONS: DevicePluginOptions = { pre_start_required: false, get_preferred_allocation_available: false };

export class DeviceManager {
  readonly #o: DeviceManagerOptions;
  readonly #allocations: DeviceAllocations;
  readonly #services = deviceServices();
  readonly #service: DevicePluginService = this.#services['v1beta1.DevicePlugin'];
  readonly #plugins = new Map<string, Plugin>();
  readonly #changes = new Changes();
  readonly #lock = new KeyedLock();

  private constructor(o: DeviceManagerOptions, allocations: DeviceAllocations) {
    this.#o = o;
    this.#allocations = allocations;
  }

  static async open(o: DeviceManagerOptions, c: Ctx): Promise<DeviceManager> {
    return new DeviceManager(o, await DeviceAllocations.open(o.path, c.log));
  }

  /** Serves until the signal aborts. Plugins see kubelet.sock come anew, or their own socket go, and register again. */
  async run(c: Ctx): Promise<void> {
    const { folder } = this.#o;
    await using scope = new Scope('device plugins', c.signal);
    for (const name of await readdir(folder).catch(() => [])) {
      const found = await lstat(join(folder, name)).catch(() => undefined);
      if (found?.isSocket() === true) await rm(join(folder, name), { force: true });
    }
    scope.own(
      await servePlugins(
        {
          socket: join(folder, 'kubelet.sock'),
          service: this.#services['v1beta1.Registration'],
          answers: {
            Register: async (request) => {
              await this.#register(request as RegisterRequest, scope, c);
              return {};
            },
          },
        },
        c,
      ),
    );
    await new Promise<void>((resolve) => scope.signal.addEventListener('abort', () => resolve(), { once: true }));
  }

  /** For the node's status. */
  status(nowMs: number): { capacity: Record<string, string>; allocatable: Record<string, string> } {
    const capacity: Record<string, string> = {};
    const allocatable: Record<string, string> = {};
    for (const { resource, devices, endedAtMs } of this.#plugins.values()) {
      if (endedAtMs !== undefined && nowMs - endedAtMs > ENDED_MS) continue;
      capacity[resource] = String(devices.size);
      allocatable[resource] = String(this.#healthy(resource).size);
    }
    return { capacity, allocatable };
  }

  /** Before the pod's first container; again is fine. A pod that cannot have what it asks for must fail. */
  async allocate(pod: PodObject, c: Ctx): Promise<PodFailure | undefined> {
    const uid = pod.metadata.uid ?? '';
    if (this.#allocations.of(uid) !== undefined) return undefined;
    const needs = deviceNeeds(pod, (r) => this.#plugins.has(r) || this.#allocations.isKnown(r));
    if (needs.length === 0) return undefined;
    for (const { resource } of needs) await this.#changes.until(() => this.#healthy(resource).size > 0, PLUGIN_MS, c);
    try {
      await this.#lock.run('', async () => this.#allocations.put(uid, await this.#allocateAll(uid, needs, c)), c);
      return undefined;
    } catch (e) {
      c.signal.throwIfAborted();
      const message = `Allocate failed due to ${messageOf(e)}, which is unexpected`;
      return { reason: 'UnexpectedAdmissionError', message };
    }
  }

  /** Nothing of it runs any more; again is fine. */
  release(uid: string): void {
    if (this.#allocations.release(uid)) this.#changes.tell();
  }

  /** Pods that an earlier agent knew and that are not there any more give theirs back. */
  retain(uids: ReadonlySet<string>): void {
    for (const [uid] of [...this.#allocations.pods()]) if (!uids.has(uid)) this.release(uid);
  }

  /** What the container gets; a plugin that wants to know of its start is told now. */
  async given(uid: string, container: string, c: Ctx): Promise<readonly ContainerAllocation[]> {
    const own = this.#allocations.of(uid)?.[container] ?? [];
    for (const { resource, ids } of own) {
      const plugin = this.#plugins.get(resource);
      if (plugin?.options.pre_start_required !== true) continue;
      await plugin.client
        .call(this.#service.PreStartContainer, { devices_ids: ids }, PRE_START_MS, c)
        .catch((e: unknown) => {
          throw new StatusError('Unavailable', `device plugin PreStartContainer rpc failed with err: ${messageOf(e)}`);
        });
    }
    return own.map((a) => a.given);
  }

  /** For agent/devices/pod-resources.ts. */
  devicesOf(uid: string, container: string): readonly ResourceDevices[] {
    return (this.#allocations.of(uid)?.[container] ?? []).flatMap(({ resource, ids }) =>
      ids.map((id) => ({ resource, id, topology: this.#plugins.get(resource)?.devices.get(id)?.topology })),
    );
  }

  /** That may be given, whether they are or not. */
  allocatableDevices(): readonly ResourceDevices[] {
    return [...this.#plugins].flatMap(([resource, plugin]) =>
      [...this.#healthy(resource)].sort().map((id) => ({ resource, id, topology: plugin.devices.get(id)?.topology })),
    );
  }

  async #allocateAll(uid: string, needs: readonly DeviceNeed[], c: Ctx): Promise<PodDevices> {
    const before = this.#allocations.of(uid);
    if (before !== undefined) return before;
    const out: Record<string, Allocation[]> = {};
    const ofPod = (resource: string): Allocation[] =>
      Object.values(out)
        .flat()
        .filter((a) => a.resource === resource);
    for (const need of needs) {
      const { resource, container } = need;
      const plugin = this.#plugins.get(resource);
      if (plugin === undefined) throw new StatusError('Conflict', `cannot allocate unregistered device ${resource}`);
      const inPod = ofPod(resource);
      const held = inPod.filter((a) => !a.isReusable).flatMap((a) => a.ids);
      const reusable = inPod
        .filter((a) => a.isReusable)
        .flatMap((a) => a.ids)
        .filter((id) => !held.includes(id));
      const taken = new Set([...this.#allocations.taken(resource), ...inPod.flatMap((a) => a.ids)]);
      const choice = available({ need, healthy: this.#healthy(resource), taken, reusable });
      const ids = chosen(choice, await this.#preferred(plugin, choice, need.count, c));
      const request = { container_requests: [{ devices_ids: ids }] };
      const { container_responses } = await plugin.client.call(this.#service.Allocate, request, CALL_MS, c);
      const [given] = container_responses;
      if (given === undefined) throw new StatusError('Internal', 'no containers return in allocation response');
      const own = out[container] ?? [];
      own.push({ resource, ids, isReusable: need.role === 'init', given });
      out[container] = own;
    }
    return out;
  }

  async #preferred(
    plugin: Plugin,
    { kept, free, missing }: ReturnType<typeof available>,
    count: number,
    c: Ctx,
  ): Promise<readonly string[]> {
    if (!plugin.options.get_preferred_allocation_available || missing === 0) return [];
    const asked = {
      available_deviceIDs: [...kept, ...free],
      must_include_deviceIDs: kept,
      allocation_size: count,
    };
    const request = { container_requests: [asked] };
    const answer = await plugin.client.call(this.#service.GetPreferredAllocation, request, CALL_MS, c);
    return answer.container_responses[0]?.deviceIDs ?? [];
  }

  #healthy(resource: string): ReadonlySet<string> {
    const plugin = this.#plugins.get(resource);
    if (plugin === undefined || plugin.endedAtMs !== undefined) return new Set();
    return new Set([...plugin.devices.values()].filter((d) => d.health === 'Healthy').map((d) => d.ID));
  }

  async #register(r: RegisterRequest, scope: Scope, c: Ctx): Promise<void> {
    const { version, endpoint, resource_name: resource } = r;
    if (version !== VERSION)
      throw new StatusError(
        'Invalid',
        `requested API version "${version}" is not supported by kubelet. Supported version is ["${VERSION}"]`,
      );
    if (!isExtendedResource(resource)) throw new StatusError('Invalid', `the ResourceName "${resource}" is invalid`);
    if (!/^[^/]+$/.test(endpoint) || endpoint.startsWith('.') || endpoint === 'kubelet.sock')
      throw new StatusError('Invalid', `the endpoint "${endpoint}" is not the name of a socket`);
    if (!this.#plugins.has(resource) && this.#plugins.size >= PLUGINS_MAX)
      throw new StatusError('TooManyRequests', `${PLUGINS_MAX} device plugins are registered already`);
    const socket = join(this.#o.folder, endpoint);
    await refuseNoSocket(socket);
    await this.#allocations.know(resource);
    const before = this.#plugins.get(resource);
    before?.stop.abort();
    const plugin: Plugin = {
      ...{ resource, client: new PluginClient(socket), stop: new AbortController() },
      options: r.options ?? NO_OPTIONS,
      devices: before?.devices ?? new Map<string, Device>(),
      endedAtMs: undefined,
    };
    this.#plugins.set(resource, plugin);
    scope.spawn(`device plugin ${resource}`, (signal) => this.#follow(plugin, { ...c, signal }));
  }

  /** Until the plugin ends, or another takes its place. */
  async #follow(plugin: Plugin, c: Ctx): Promise<void> {
    const { resource, client, stop } = plugin;
    using _ = client;
    const signal = AbortSignal.any([c.signal, stop.signal]);
    const pace = new Pace(MESSAGES_PER_SECOND);
    try {
      for await (const { devices } of client.follow(this.#service.ListAndWatch, {}, { ...c, signal })) {
        if (devices.length > DEVICES_MAX)
          throw new StatusError('Invalid', `it has ${devices.length} devices; ${DEVICES_MAX} are allowed`);
        plugin.devices = new Map(devices.map((d) => [d.ID, d]));
        this.#tell();
        await pace.step({ ...c, signal });
      }
      throw new StatusError('Unavailable', 'ListAndWatch ended');
    } catch (e) {
      if (signal.aborted) return;
      plugin.endedAtMs = c.clock.now();
      c.log.warn({ err: messageOf(e), resource }, 'a device plugin has gone: none of its devices is given any more');
      this.#tell();
    }
  }

  #tell(): void {
    this.#changes.tell();
    this.#o.onChange();
  }
}

/** Source: kubernetes pkg/apis/core/v1/helper IsExtendedResourceName. */
function isExtendedResource(name: string): boolean {
  const [domain = '', rest] = name.split('/');
  if (rest === undefined || domain === 'kubernetes.io' || domain.endsWith('.kubernetes.io')) return false;
  return !name.startsWith('requests.') && isQualifiedName(`requests.${name}`);
}
