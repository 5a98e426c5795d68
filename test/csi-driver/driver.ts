/**
 * A CSI driver for tests: identity, controller and node on one socket, announced in the node's registry. A volume is a folder of
 * `store`, mounted by bind; what is attached where, staged where and how large a volume is stands in files beside it, so that the
 * driver may be killed and started anew. Each call is a line of `store/calls`; a file `store/hang-CALL` or `store/fail-CALL` makes
 * calls of that name hang or fail while it is there.
 *
 * It is as strict as CSI lets a driver be: publishing what is not staged, or not attached to this node, fails.
 */
import { execFile } from 'node:child_process';
import { access, appendFile, mkdir, readFile, rm, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import {
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServiceDefinition,
  type sendUnaryData,
} from '@grpc/grpc-js';
import type { PublishRequest, StageRequest } from '../../agent/csi/protocol.ts';
import { registrationService } from '../../agent/plugins/protocol.ts';
import { csiServices } from './protocol.ts';

export interface DriverOptions {
  readonly name: string;
  readonly nodeId: string;
  /** The node's root for plugins. */
  readonly root: string;
  /** Shared by the driver's nodes, as a storage network is. */
  readonly store: string;
}

type Answer = (request: Record<string, unknown>) => Promise<object>;

const run = promisify(execFile);
const FAILED_PRECONDITION = 9;
const NOT_FOUND = 5;
const INTERNAL = 13;

class CallError extends Error {
  readonly code: number;
  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

export async function startDriver(o: DriverOptions): Promise<{ stop(): Promise<void> }> {
  const services = csiServices();
  const folder = join(o.root, 'plugins', o.name);
  const socket = join(folder, 'csi.sock');
  const announced = join(o.root, 'plugins_registry', `${o.name}-reg.sock`);
  await mkdir(folder, { recursive: true });
  await mkdir(join(o.store, 'volumes'), { recursive: true });
  for (const path of [socket, announced]) await rm(path, { force: true });
  const csi = new Server();
  const driver = new Driver(o);
  for (const name of ['csi.v1.Identity', 'csi.v1.Controller', 'csi.v1.Node'] as const)
    serve(csi, services[name], (call) => driver.answer(call));
  const registration = new Server();
  serve(registration, registrationService(), (call) => async (request) => {
    if (call === 'GetInfo') return { type: 'CSIPlugin', name: o.name, endpoint: socket, supported_versions: ['1.0.0'] };
    await appendFile(join(o.store, 'registrations'), `${o.nodeId} ${JSON.stringify(request)}\n`);
    return {};
  });
  await listen(csi, socket);
  await listen(registration, announced);
  return {
    stop: async () => {
      for (const path of [announced, socket]) await rm(path, { force: true });
      registration.forceShutdown();
      csi.forceShutdown();
    },
  };
}

function serve(server: Server, service: object, answerOf: (call: string) => Answer): void {
  const handlers = Object.keys(service).map((name) => [
    name,
    (call: ServerUnaryCall<Record<string, unknown>, object>, done: sendUnaryData<object>): void => {
      answerOf(name)(call.request).then(
        (reply) => done(null, reply),
        (e: unknown) => {
          const code = e instanceof CallError ? e.code : INTERNAL;
          done({ code, details: e instanceof Error ? e.message : String(e) });
        },
      );
    },
  ]);
  server.addService(service as ServiceDefinition, Object.fromEntries(handlers));
}

function listen(server: Server, socket: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (e) => (e === null ? resolve() : reject(e)));
  });
}

class Driver {
  readonly #o: DriverOptions;

  constructor(o: DriverOptions) {
    this.#o = o;
  }

  answer(call: string): Answer {
    return async (request) => {
      const { store, nodeId } = this.#o;
      await appendFile(join(store, 'calls'), `${JSON.stringify({ nodeId, call, request })}\n`);
      while (await isThere(join(store, `hang-${call}`))) await sleep(20);
      if (await isThere(join(store, `fail-${call}`))) throw new CallError(INTERNAL, `told to fail ${call}`);
      return (await this.#answers[call]?.(request)) ?? {};
    };
  }

  readonly #answers: Readonly<Record<string, Answer>> = {
    GetPluginInfo: async () => ({ name: this.#o.name, vendor_version: '1' }),
    CreateVolume: async ({ name, capacity_range, parameters }) => {
      const id = String(name);
      const size = (capacity_range as { required_bytes: number }).required_bytes;
      await mkdir(this.#data(id), { recursive: true });
      await writeFile(`${this.#data(id)}.size`, String(size));
      const made = parameters as Record<string, string>;
      return { volume: { volume_id: id, capacity_bytes: size, volume_context: { flavour: made['flavour'] ?? '' } } };
    },
    DeleteVolume: async ({ volume_id: id }) => {
      await rm(this.#data(String(id)), { recursive: true, force: true });
      for (const end of ['size', 'attached']) await rm(`${this.#data(String(id))}.${end}`, { force: true });
      return {};
    },
    ControllerPublishVolume: async ({ volume_id: id, node_id: node }) => {
      const path = `${this.#data(String(id))}.attached`;
      const now = await readFile(path, 'utf8').catch(() => '');
      if (now !== '' && now !== node) throw new CallError(FAILED_PRECONDITION, `${String(id)} is attached to ${now}`);
      await writeFile(path, String(node));
      return { publish_context: { device: `of ${String(node)}` } };
    },
    ControllerUnpublishVolume: async ({ volume_id: id }) => {
      await rm(`${this.#data(String(id))}.attached`, { force: true });
      return {};
    },
    ControllerExpandVolume: async ({ capacity_range }) => {
      const size = (capacity_range as { required_bytes: number }).required_bytes;
      return { capacity_bytes: size, node_expansion_required: true };
    },
    NodeGetInfo: async () => ({
      node_id: this.#o.nodeId,
      max_volumes_per_node: 7,
      accessible_topology: { segments: { [`${this.#o.name}/node`]: this.#o.nodeId } },
    }),
    NodeGetCapabilities: async () => ({
      capabilities: ['STAGE_UNSTAGE_VOLUME', 'EXPAND_VOLUME', 'SINGLE_NODE_MULTI_WRITER'].map((type) => ({
        rpc: { type },
      })),
    }),
    NodeStageVolume: async (request) => {
      const { volume_id: id, staging_target_path: target } = request as unknown as StageRequest;
      const attached = await readFile(`${this.#data(id)}.attached`, 'utf8').catch(() => '');
      if (attached !== this.#o.nodeId) throw new CallError(FAILED_PRECONDITION, `${id} is attached to "${attached}"`);
      await bindOnce(this.#data(id), target);
      return {};
    },
    NodeUnstageVolume: async ({ staging_target_path: target }) => {
      await unbind(String(target));
      return {};
    },
    NodePublishVolume: async (request) => {
      const { volume_id: id, staging_target_path: staged, target_path: target } = request as unknown as PublishRequest;
      const isInline = (request['volume_context'] as Record<string, string>)['csi.storage.k8s.io/ephemeral'] === 'true';
      if (isInline) await mkdir(this.#data(id), { recursive: true });
      else if (!(await isMounted(staged))) throw new CallError(FAILED_PRECONDITION, `${id} is not staged`);
      await mkdir(target, { recursive: true });
      await bindOnce(isInline ? this.#data(id) : staged, target);
      return {};
    },
    NodeUnpublishVolume: async ({ volume_id: id, target_path: target }) => {
      await unbind(String(target));
      await rmdir(String(target)).catch(() => undefined);
      if (String(id).startsWith('csi-')) await rm(this.#data(String(id)), { recursive: true, force: true });
      return {};
    },
    NodeExpandVolume: async ({ volume_id: id, volume_path: path, capacity_range }) => {
      if (!(await isMounted(String(path)))) throw new CallError(NOT_FOUND, `${String(path)} is not published`);
      const size = (capacity_range as { required_bytes: number }).required_bytes;
      await writeFile(`${this.#data(String(id))}.size`, String(size));
      return { capacity_bytes: size };
    },
  };

  #data(id: string): string {
    return join(this.#o.store, 'volumes', id);
  }
}

async function isThere(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

async function isMounted(path: string): Promise<boolean> {
  const table = await readFile('/proc/self/mountinfo', 'utf8');
  return table.split('\n').some((line) => line.split(' ')[4] === path);
}

async function bindOnce(source: string, target: string): Promise<void> {
  if (!(await isMounted(target))) await run('mount', ['--bind', source, target]);
}

async function unbind(target: string): Promise<void> {
  while (await isMounted(target)) await run('umount', [target]);
}
