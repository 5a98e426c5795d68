/**
 * ResourceQuota, the last plugin: what a write asks for is charged to `status.used` of every quota it falls under before
 * it is stored, under the compare of the quota's revision, so that of any number of writers on any number of servers no two
 * get the same last unit. What was not stored is given back; what may have been stored is left for the controller, which
 * counts again (services/controllers/quota).
 * Source: k8s.io/apiserver/pkg/admission/plugin/resourcequota/{admission,controller}.go.
 */
import {
  type Amounts,
  charged,
  chargeFor,
  type DeepReadonly,
  givenBack,
  type KindInfo,
  Kinds,
  type KubeObject,
  kindInfo,
  type ObjectKey,
  type QuotaChange,
  type QuotaEvaluator,
  quotaEvaluatorOf,
  type ResourceQuota,
} from '#lib/api';
import { type Ctx, isKind } from '#lib/base';
import type { Storage } from '../storage.ts';
import { guaranteedUpdate } from '../write/guaranteed-update.ts';
import type { AdmissionPlugin, AdmissionRequest, WriteOutcome } from './chain.ts';
import { refusal } from './refusal.ts';

type Quota = DeepReadonly<ResourceQuota>;

interface Charge {
  readonly key: ObjectKey;
  readonly uid: string | undefined;
  readonly amounts: Amounts;
}

/** A return must outlive the request that it is for: its own limit. */
const GIVE_BACK_MS = 10_000;

export class QuotaAdmission implements AdmissionPlugin {
  readonly name = 'ResourceQuota';
  readonly #storage: Storage;
  readonly #kind: KindInfo;
  /** What a request that is under way holds; settled exactly once. */
  readonly #held = new WeakMap<AdmissionRequest, Charge[]>();

  constructor(storage: Storage) {
    this.#storage = storage;
    this.#kind = kindInfo(Kinds.resourcequotas);
  }

  async validate(request: AdmissionRequest, c: Ctx): Promise<void> {
    const change = changeOf(request);
    const evaluator = quotaEvaluatorOf(request.kind);
    if (change === undefined || evaluator === undefined || !evaluator.handles(change)) return;
    const asked = this.#asked(request, evaluator, change, c.clock.now());
    const held: Charge[] = [];
    this.#held.set(request, held);
    for (const charge of asked) {
      const amounts = await this.#charge(request, charge, c);
      if (amounts.size > 0) held.push({ ...charge, amounts });
    }
  }

  async settle(request: AdmissionRequest, outcome: WriteOutcome, c: Ctx): Promise<void> {
    const held = this.#held.get(request) ?? [];
    this.#held.delete(request);
    if (outcome !== 'refused') return;
    for (const charge of held) await this.#giveBack(charge, c);
  }

  /** In the order of names; every quota must be content before any is charged. */
  #asked(request: AdmissionRequest, evaluator: QuotaEvaluator, change: QuotaChange, nowMs: number): Charge[] {
    const asked: Charge[] = [];
    for (const cached of this.#storage.cache.of(this.#kind).items(request.namespace)) {
      const quota = cached.object as Quota;
      const charge = chargeFor(quota, evaluator, change, nowMs);
      if ('refused' in charge) throw refusal(request, charge.refused);
      if (charge.amounts.size === 0) continue;
      const key = { namespace: request.namespace, name: quota.metadata.name };
      asked.push({ key, uid: quota.metadata.uid, amounts: charge.amounts });
    }
    return asked;
  }

  /** What was charged: less than asked for where the quota limits less. A quota that has just gone limits nothing. */
  async #charge(request: AdmissionRequest, { key, uid, amounts }: Charge, c: Ctx): Promise<Amounts> {
    let taken: Amounts = new Map();
    const isEnforced = request.subresource !== 'status';
    try {
      await guaranteedUpdate(
        this.#storage,
        {
          kind: this.#kind,
          key,
          dryRun: request.dryRun,
          change: (current) => {
            taken = new Map();
            const quota = current.object as Quota;
            if (quota.metadata.uid !== uid) return { action: 'keep' };
            const next = charged(quota, amounts, { isEnforced });
            if ('refused' in next) throw refusal(request, next.refused);
            if (next.amounts.size === 0) return { action: 'keep' };
            taken = next.amounts;
            return { action: 'put', object: withStatus(quota, next.status) };
          },
        },
        c,
      );
    } catch (e) {
      if (!isKind(e, 'NotFound')) throw e;
      return new Map();
    }
    return request.dryRun ? new Map() : taken;
  }

  /** A failure is only logged: the controller counts again after every charge. */
  async #giveBack({ key, uid, amounts }: Charge, c: Ctx): Promise<void> {
    /* The request's own signal may have ended it; what it holds is returned all the same. */
    const limit = new AbortController();
    const timer = c.clock.after(GIVE_BACK_MS, () => limit.abort());
    try {
      await guaranteedUpdate(
        this.#storage,
        {
          kind: this.#kind,
          key,
          dryRun: false,
          change: (current) => {
            const quota = current.object as Quota;
            if (quota.metadata.uid !== uid) return { action: 'keep' };
            return { action: 'put', object: withStatus(quota, givenBack(quota, amounts)) };
          },
        },
        { ...c, signal: limit.signal },
      );
    } catch (err) {
      if (!isKind(err, 'NotFound'))
        c.log.warn({ quota: key.name, namespace: key.namespace, err }, 'quota not given back');
    } finally {
      timer.cancel();
    }
  }
}

/** The store takes over what it is given: the metadata is a copy too. */
function withStatus(quota: Quota, status: NonNullable<ResourceQuota['status']>): KubeObject {
  return { ...quota, metadata: { ...quota.metadata }, status } as KubeObject;
}

function changeOf(request: AdmissionRequest): QuotaChange | undefined {
  const { operation, subresource, object, previous } = request;
  if (object === undefined || (operation !== 'CREATE' && operation !== 'UPDATE')) return undefined;
  return { operation, subresource, object: object as DeepReadonly<KubeObject>, previous };
}
