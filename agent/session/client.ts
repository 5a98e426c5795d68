/**
 * The session: dials gateways for ever, one connection at a time (session.ts tells its life story).
 *
 * Epoch: a number that rises with every dial and is on disk before it is said, so that the gateway can tell which of two
 * sessions of this node is the newer. If our disk was lost, the gateway tells the highest it knows and we go above it.
 */
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { NodeStatus, PodStatus } from '#lib/api';
import { backoffMs, type Ctx, isKind, messageOf, Scope, StatusError, writeFileAtomic } from '#lib/base';
import { renewAt } from '#lib/pki';
import type { GatewayClient } from '#proto/gen/berth/agent/v1/Gateway.ts';
import { loadAgentProto } from '#proto/load.ts';
import { EpochTooLow, runConnection } from './connection.ts';
import { DesiredStore } from './desired.ts';
import { isRenewalDue, renewCertificate } from './join.ts';
import { sendMirrorPod } from './mirror.ts';
import { Outbox } from './outbox.ts';
import type { PodRef, PodToken, PodTokenRequest, Session, SessionCredentials, SessionDeps } from './session.ts';
import { sendClaimResized, sendCsiDriver } from './storage.ts';
import { requestToken } from './tokens.ts';

export type * from './session.ts';

const DIAL_POLICY = { initialMs: 100, maxMs: 2_000 };
/** A connection that lasted this long was good: the next dial begins without waiting. */
const GOOD_CONNECTION_MS = 10_000;
const RENEWAL_CHECK_MS = 3600_000;
const RENEWAL_RETRY_MS = 60_000;
/** Behind the instant: at it, nothing is due yet. */
const RENEWAL_AFTER_MS = 1_000;

/** Resolves when the saved wish has been handed out; dials in the background. */
export async function startSession(d: SessionDeps): Promise<Session> {
  await mkdir(d.folder, { recursive: true, mode: 0o700 });
  const folders = { folder: join(d.folder, 'desired'), memoryFolder: d.memoryFolder };
  const { store, changes } = await DesiredStore.open(folders, d);
  const session = new RunningSession(d, store, await readEpoch(d.folder));
  if (changes.length > 0) d.onChange(changes);
  d.onSynced('disk');
  session.start();
  return session;
}

class RunningSession implements Session {
  readonly #d: SessionDeps;
  readonly #desired: DesiredStore;
  readonly #proto = loadAgentProto();
  readonly #outbox: Outbox;
  readonly #scope = new Scope('session');
  readonly #c: Ctx;
  #epoch: bigint;
  /** While the gateway has accepted us. */
  #gateway: GatewayClient | undefined;
  #endpoint = 0;

  constructor(d: SessionDeps, desired: DesiredStore, epoch: bigint) {
    this.#d = d;
    this.#desired = desired;
    this.#epoch = epoch;
    this.#outbox = new Outbox({ clock: d.clock, log: d.log });
    this.#c = { signal: this.#scope.signal, clock: d.clock, log: d.log };
  }

  get connected(): boolean {
    return this.#gateway !== undefined;
  }

  get unstored(): number {
    return this.#outbox.size;
  }

  start(): void {
    this.#scope.spawn('dial', () => this.#dialForEver());
    if (this.#d.saveCredentials !== undefined) this.#scope.spawn('renew', () => this.#renewForEver());
  }

  reportPodStatus(pod: PodRef, status: PodStatus): void {
    this.#outbox.podStatus(pod, Buffer.from(JSON.stringify(status)));
  }

  reportPodRemoved(pod: PodRef): void {
    this.#outbox.podRemoved(pod);
  }

  reportVolumeErased({ name, uid }: { name: string; uid: string }): void {
    this.#outbox.volumeErased({ namespace: '', name, uid });
  }

  reportNodeStatus(status: NodeStatus): void {
    this.#outbox.nodeStatus(Buffer.from(JSON.stringify(status)));
  }

  event(event: Parameters<Session['event']>[0]): void {
    this.#outbox.event(Buffer.from(JSON.stringify(event)));
  }

  async serviceAccountToken(o: PodTokenRequest, c: Ctx): Promise<PodToken> {
    return await requestToken(this.#connectedGateway(), o, c);
  }

  async mirrorPod(...[pod, source, c]: Parameters<Session['mirrorPod']>): Promise<void> {
    await sendMirrorPod(this.#connectedGateway(), { pod, source }, c);
  }

  async putCsiDriver(...[report, c]: Parameters<Session['putCsiDriver']>): Promise<void> {
    await sendCsiDriver(this.#connectedGateway(), report, c);
  }

  async claimResized(...[claim, storage, c]: Parameters<Session['claimResized']>): Promise<void> {
    await sendClaimResized(this.#connectedGateway(), { claim, storage }, c);
  }

  #connectedGateway(): GatewayClient {
    if (this.#gateway === undefined) throw new StatusError('Unavailable', 'no session with the control plane');
    return this.#gateway;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#scope[Symbol.asyncDispose]();
    await this.#desired.flush();
  }

  async #dialForEver(): Promise<void> {
    const { clock, log, random } = this.#d;
    for (let failures = 0; !this.#c.signal.aborted; ) {
      const startedAt = clock.monotonic();
      try {
        await this.#connectOnce();
      } catch (e) {
        if (this.#c.signal.aborted) return;
        if (e instanceof EpochTooLow) {
          log.warn(
            { epoch: String(this.#epoch), highest: String(e.highest) },
            'the epoch was too low; taking a higher one',
          );
          this.#epoch = e.highest;
          continue;
        }
        const wasGood = this.#gateway !== undefined && clock.monotonic() - startedAt > GOOD_CONNECTION_MS;
        if (this.#gateway !== undefined) this.#d.onLost?.();
        this.#gateway = undefined;
        failures = wasGood ? 0 : failures + 1;
        // Once per outage, not once per dial.
        if (failures <= 1) log.warn({ err: messageOf(e) }, 'no session with the control plane; dialling');
        else log.debug({ err: messageOf(e) }, 'dialling failed');
        // What another gateway could answer differently is asked there at once.
        this.#endpoint = (this.#endpoint + 1) % this.#d.endpoints.length;
        const triedAll = failures >= this.#d.endpoints.length;
        if (!triedAll && !isKind(e, 'Unauthorized')) continue;
        await clock.sleep(backoffMs(DIAL_POLICY, Math.min(failures, 8), random), this.#c.signal);
      }
    }
  }

  async #connectOnce(): Promise<never> {
    const credentials = await this.#d.credentials();
    this.#epoch += 1n;
    await writeFileAtomic(epochPath(this.#d.folder), this.#epoch.toString(), { mode: 0o600 });
    const deps = {
      proto: this.#proto,
      session: this.#d,
      desired: this.#desired,
      outbox: this.#outbox,
      onOpen: (gateway: GatewayClient) => {
        this.#gateway = gateway;
        this.#d.log.info(
          { endpoint: this.#endpointText(), epoch: String(this.#epoch) },
          'connected to the control plane',
        );
      },
    };
    const target = { endpoint: this.#endpointText(), epoch: this.#epoch, credentials };
    return runConnection(deps, target, this.#c);
  }

  async #renewForEver(): Promise<void> {
    for (;;) {
      let waitMs = RENEWAL_RETRY_MS;
      try {
        await this.#renewIfDue();
        waitMs = await this.#untilRenewalMs();
      } catch (e) {
        if (this.#c.signal.aborted) return;
        this.#d.log.error({ err: messageOf(e) }, 'the node certificate could not be renewed; trying again in a minute');
      }
      await this.#c.clock.sleep(waitMs, this.#c.signal);
    }
  }

  /** An hour at most: the machine may sleep, and its wall clock may be set. */
  async #untilRenewalMs(): Promise<number> {
    const { cert } = await this.#d.credentials();
    const leftMs = renewAt(cert) - this.#d.clock.now();
    return Math.min(Math.max(leftMs, 0) + RENEWAL_AFTER_MS, RENEWAL_CHECK_MS);
  }

  async #renewIfDue(): Promise<void> {
    const current: SessionCredentials = await this.#d.credentials();
    if (!isRenewalDue(current, this.#d.clock.now())) return;
    const renewed = await renewCertificate(this.#endpointText(), { nodeName: this.#d.nodeName, current }, this.#c);
    await this.#d.saveCredentials?.(renewed);
    this.#d.log.info({}, 'renewed the node certificate');
  }

  #endpointText(): string {
    return this.#d.endpoints[this.#endpoint] ?? '';
  }
}

function epochPath(folder: string): string {
  return join(folder, 'epoch');
}

/** 0 when there is none: the gateway then tells if it knows a higher one. */
async function readEpoch(folder: string): Promise<bigint> {
  const text = await readFile(epochPath(folder), 'utf8').catch(() => '');
  return /^\d{1,20}$/.test(text.trim()) ? BigInt(text.trim()) : 0n;
}
