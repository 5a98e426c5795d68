/**
 * The pod workers' way to a session that is still being opened: `startSession` replays the wish from disk before it resolves,
 * and the workers it wakes report at once. What they say until `attach` is kept in order and handed over then; a report
 * that got lost here would never be made again, because a worker reports changes only.
 *
 * Bounded by what the replay can cause: a few reports for each pod on disk.
 */
import { StatusError } from '#lib/base';
import type { PodToken, Session } from './session.ts';

export type SessionReports = Pick<
  Session,
  | 'reportPodStatus'
  | 'reportPodRemoved'
  | 'reportVolumeErased'
  | 'event'
  | 'serviceAccountToken'
  | 'mirrorPod'
  | 'putCsiDriver'
  | 'claimResized'
>;

export class Reports implements SessionReports {
  #session: SessionReports | undefined;
  #early: ((s: SessionReports) => void)[] = [];

  attach(session: SessionReports): void {
    this.#session = session;
    const early = this.#early;
    this.#early = [];
    for (const say of early) say(session);
  }

  reportPodStatus(...a: Parameters<Session['reportPodStatus']>): void {
    this.#say((s) => s.reportPodStatus(...a));
  }

  reportPodRemoved(...a: Parameters<Session['reportPodRemoved']>): void {
    this.#say((s) => s.reportPodRemoved(...a));
  }

  reportVolumeErased(...a: Parameters<Session['reportVolumeErased']>): void {
    this.#say((s) => s.reportVolumeErased(...a));
  }

  /** A question cannot be kept: whoever asks tries again once there is a session. */
  async serviceAccountToken(...a: Parameters<Session['serviceAccountToken']>): Promise<PodToken> {
    if (this.#session === undefined) throw new StatusError('Unavailable', 'no session with the control plane');
    return await this.#session.serviceAccountToken(...a);
  }

  async mirrorPod(...a: Parameters<Session['mirrorPod']>): Promise<void> {
    if (this.#session === undefined) throw new StatusError('Unavailable', 'no session with the control plane');
    await this.#session.mirrorPod(...a);
  }

  async putCsiDriver(...a: Parameters<Session['putCsiDriver']>): Promise<void> {
    if (this.#session === undefined) throw new StatusError('Unavailable', 'no session with the control plane');
    await this.#session.putCsiDriver(...a);
  }

  async claimResized(...a: Parameters<Session['claimResized']>): Promise<void> {
    if (this.#session === undefined) throw new StatusError('Unavailable', 'no session with the control plane');
    await this.#session.claimResized(...a);
  }

  event(...a: Parameters<Session['event']>): void {
    this.#say((s) => s.event(...a));
  }

  #say(say: (s: SessionReports) => void): void {
    if (this.#session === undefined) this.#early.push(say);
    else say(this.#session);
  }
}
