/**
 * What the control plane told about the cluster: kept on disk, so that the network comes up without it. A network that cannot
 * be configured (another cluster's link has the same block, a module is missing) ends neither the agent nor its containers: it
 * is told and tried again, while new pods say why they wait.
 */
import { readFile } from 'node:fs/promises';
import { type BackoffPolicy, backoffMs, type Ctx, type Random, type Scope, writeFileAtomic } from '#lib/base';
import type { Network, NetworkConfig } from './network/network.ts';
import type { ClusterInfo } from './session/session.ts';

const RETRY: BackoffPolicy = { initialMs: 500, maxMs: 10_000 };

export interface ClusterFiguresOptions {
  readonly path: string;
  readonly network: Pick<Network, 'configure'>;
  readonly random: Random;
  readonly nodeName: string;
  readonly nodeIp: string;
  readonly networkMode: NetworkConfig['mode'];
  readonly nodePortRange: NetworkConfig['nodePortRange'];
}

export class ClusterFigures {
  readonly #o: ClusterFiguresOptions;
  readonly #c: Ctx;
  /** The figures that count: configured, or being tried. */
  #text = '';
  domain = 'cluster.local';

  constructor(o: ClusterFiguresOptions, c: Ctx) {
    this.#o = o;
    this.#c = c;
  }

  /** Those of an earlier agent, if there are any. What fails is tried again when the control plane is heard. */
  async load(): Promise<void> {
    const text = await readFile(this.#o.path, 'utf8').catch(() => undefined);
    if (text === undefined) return;
    try {
      await this.#configure(JSON.parse(text) as ClusterInfo);
      this.#text = text;
    } catch (err) {
      this.#c.signal.throwIfAborted();
      this.#c.log.warn({ err }, 'the network of this node could not be configured as it was');
    }
  }

  welcome(info: ClusterInfo, scope: Scope): void {
    const text = JSON.stringify(info);
    if (text === this.#text || info.podCidr === '') return;
    this.#text = text;
    scope.spawn('network', (signal) => this.#follow(info, text, signal));
  }

  /** Until it succeeds or newer figures have come. */
  async #follow(info: ClusterInfo, text: string, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#c;
    for (let failures = 0; text === this.#text; failures++) {
      try {
        await this.#configure(info);
        await writeFileAtomic(this.#o.path, text);
        return;
      } catch (err) {
        signal.throwIfAborted();
        log.warn({ err, podCidr: info.podCidr }, 'the network of this node cannot be configured; trying again');
        await clock.sleep(backoffMs(RETRY, Math.min(failures, 10), this.#o.random), signal);
      }
    }
  }

  async #configure(info: ClusterInfo): Promise<void> {
    const { nodeName, nodeIp, networkMode, nodePortRange, network } = this.#o;
    this.domain = info.clusterDomain;
    await network.configure({ ...info, nodeName, nodeIp, mode: networkMode, nodePortRange }, this.#c);
  }
}
