/**
 * The CSI drivers of this node: registered by their sockets, asked once what they can, and told to the control plane as the
 * node's CSINode. Source: kubernetes pkg/volume/csi/csi_plugin.go (RegistrationHandler), nodeinfomanager.
 */
import type { CSINodeDriver } from '#lib/api';
import { type Ctx, isKind, messageOf, StatusError, Wake } from '#lib/base';
import { PluginClient } from '../plugins/client.ts';
import type { Plugin, PluginHandler } from '../plugins/registry.ts';
import type { CsiDriverReport } from '../session/session.ts';
import { type NodeInfo, type NodeService, nodeService } from './protocol.ts';

export interface CsiDriver {
  readonly name: string;
  readonly client: PluginClient;
  readonly service: NodeService;
  /** NodeServiceCapability.RPC.Type */
  readonly can: ReadonlySet<string>;
}

export interface CsiDriversOptions {
  report(driver: CsiDriverReport, c: Ctx): Promise<void>;
  /** A driver has come: volumes may be waiting for it. */
  onChange(): void;
}

const CALL_MS = 30_000;
const RETRY_MS = 5_000;
/** CSI's rule for GetPluginInfoResponse.name; it becomes a folder's name. */
const NAME = /^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/;
/** CSI's limits: of node_id, and of what a topology may have of keys. */
const NODE_ID_BYTES_MAX = 256;
const TOPOLOGY_KEYS_MAX = 64;
const INT32_MAX = 0x7fffffff;

export class CsiDrivers implements PluginHandler {
  readonly #o: CsiDriversOptions;
  readonly #service = nodeService();
  readonly #drivers = new Map<string, CsiDriver>();
  /** Of those that are here; '' = that there is this node. */
  readonly #reports = new Map<string, CsiDriverReport>([['', { name: '', driver: undefined, topology: {} }]]);
  /** What the control plane is still to hear, by driver. */
  readonly #untold = new Map(this.#reports);
  readonly #wake = new Wake();

  constructor(o: CsiDriversOptions) {
    this.#o = o;
  }

  get(name: string): CsiDriver {
    const found = this.#drivers.get(name);
    if (found === undefined)
      throw new StatusError('Unavailable', `driver name ${name} not found in the list of registered CSI drivers`);
    return found;
  }

  has(name: string): boolean {
    return this.#drivers.has(name);
  }

  async register(plugin: Plugin, c: Ctx): Promise<void> {
    const { name, endpoint, versions } = plugin;
    refuseDriver(plugin, versions);
    const client = new PluginClient(endpoint);
    try {
      const info = await client.call(this.#service.NodeGetInfo, {}, CALL_MS, c);
      const { capabilities } = await client.call(this.#service.NodeGetCapabilities, {}, CALL_MS, c);
      const report = { name, driver: nodeDriver(name, info), topology: info.accessible_topology?.segments ?? {} };
      const can = new Set(capabilities.flatMap((x) => (typeof x.rpc?.type === 'string' ? [x.rpc.type] : [])));
      this.#drivers.get(name)?.client[Symbol.dispose]();
      this.#drivers.set(name, { name, client, service: this.#service, can });
      this.#tell(report);
    } catch (e) {
      client[Symbol.dispose]();
      throw e;
    }
    this.#o.onChange();
  }

  async deregister({ name, endpoint }: Plugin): Promise<void> {
    const known = this.#drivers.get(name);
    if (known === undefined || known.client.socket !== endpoint) return;
    known.client[Symbol.dispose]();
    this.#drivers.delete(name);
    this.#tell({ name, driver: undefined, topology: {} });
  }

  /** There is a connection. The Node may be another one than before, and its CSINode gone with the old one: all is told again. */
  connected(): void {
    for (const [name, report] of this.#reports) if (!this.#untold.has(name)) this.#untold.set(name, report);
    this.#wake.kick();
  }

  /** Tells the control plane, until the signal aborts. */
  async run(c: Ctx): Promise<void> {
    for (;;) {
      this.#wake.clear();
      let hasFailed = false;
      for (const [name, report] of [...this.#untold]) {
        try {
          await this.#o.report(report, c);
          if (this.#untold.get(name) === report) this.#untold.delete(name);
        } catch (e) {
          c.signal.throwIfAborted();
          hasFailed = true;
          if (!isKind(e, 'Unavailable'))
            c.log.warn({ err: messageOf(e), driver: name }, 'the CSINode of this node was not written');
        }
      }
      await this.#wake.sleepUntil(hasFailed ? c.clock.now() + RETRY_MS : undefined, c);
    }
  }

  [Symbol.dispose](): void {
    for (const { client } of this.#drivers.values()) client[Symbol.dispose]();
    this.#drivers.clear();
  }

  #tell(report: CsiDriverReport): void {
    if (report.driver === undefined) this.#reports.delete(report.name);
    else this.#reports.set(report.name, report);
    this.#untold.set(report.name, report);
    this.#wake.kick();
  }
}

function refuseDriver({ name, endpoint }: Plugin, versions: readonly string[]): void {
  const refuse = (why: string): StatusError =>
    new StatusError('Invalid', `validation failed for CSI Driver ${name} at endpoint ${endpoint}: ${why}`);
  if (!NAME.test(name)) throw refuse('its name is not of letters, digits, ".", "-" and "_", 63 at most');
  if (!versions.some((v) => /^v?1(\.\d+)*$/.test(v)))
    throw refuse(`CSI driver ${name} supports none of the versions this node speaks: ${versions.join(', ')}`);
}

/** What a driver says of this node, as CSINode has it. Throws Invalid for what CSI does not allow. */
export function nodeDriver(name: string, info: NodeInfo): CSINodeDriver {
  const { node_id: nodeID, max_volumes_per_node: max } = info;
  if (nodeID === '' || Buffer.byteLength(nodeID) > NODE_ID_BYTES_MAX)
    throw new StatusError('Invalid', `driver ${name} gave a node_id of ${Buffer.byteLength(nodeID)} bytes`);
  const topologyKeys = Object.keys(info.accessible_topology?.segments ?? {}).sort();
  if (topologyKeys.length > TOPOLOGY_KEYS_MAX)
    throw new StatusError('Invalid', `driver ${name} gave ${topologyKeys.length} topology keys`);
  return {
    name,
    nodeID,
    topologyKeys,
    ...(max > 0 ? { allocatable: { count: Math.min(max, INT32_MAX) } } : {}),
  };
}
