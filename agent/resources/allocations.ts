/**
 * What each pod of this node has been given: the accounts by which a resize is accepted, put off or refused, and the weight of
 * a class. A pod that must wait is asked again when another one gives something back, in the kubelet's order.
 * Source: pkg/kubelet/allocation/allocation_manager.go, pkg/kubelet/cm/qos_container_manager_linux.go, KEP-1287.
 */
import {
  type Amounts,
  addAmounts,
  amountsOf,
  milliValue,
  parseQuantity,
  podRequests,
  type QosClass,
  qosClassOf,
  quantityValue,
} from '#lib/api';
import type { PodObject, ResizePending } from '../pods/model.ts';

interface Allocation {
  readonly qos: QosClass;
  readonly requests: Amounts;
}

interface Waiting {
  readonly pod: PodObject;
  /** Order of asking. */
  readonly turn: number;
  readonly retry: () => void;
}

const RESIZABLE = ['cpu', 'memory'] as const;
const OPTIONS = { usesStatus: false, hasOverhead: true };
const ZERO = parseQuantity('0');

export class Allocations {
  readonly #allocatable: Amounts;
  readonly #pods = new Map<string, Allocation>();
  readonly #waiting = new Map<string, Waiting>();
  readonly #onChange = new Set<() => void>();
  #turns = 0;

  /** `allocatable`: of the node, as its status has it. */
  constructor(allocatable: Readonly<Record<string, string>>) {
    this.#allocatable = amountsOf(allocatable);
  }

  /** `pod` has what it says now. */
  set(pod: PodObject): void {
    const uid = pod.metadata.uid ?? '';
    const before = this.#pods.get(uid);
    const now = { qos: qosClassOf(pod.spec), requests: podRequests(pod, OPTIONS) };
    this.#pods.set(uid, now);
    this.#waiting.delete(uid);
    for (const fn of this.#onChange) fn();
    if (before !== undefined && RESIZABLE.some((name) => exceeds(before.requests, now.requests, name)))
      this.#askWaiting();
  }

  /** It has ended or is gone. */
  release(uid: string): void {
    this.#waiting.delete(uid);
    if (!this.#pods.delete(uid)) return;
    for (const fn of this.#onChange) fn();
    this.#askWaiting();
  }

  /** CPU requests of all burstable pods, in thousandths. */
  get burstableMilliCpu(): number {
    let sum = 0;
    for (const { qos, requests } of this.#pods.values())
      if (qos === 'Burstable') sum += Number(milliValue(requests.get('cpu') ?? ZERO));
    return sum;
  }

  onChange(fn: () => void): Disposable {
    this.#onChange.add(fn);
    return { [Symbol.dispose]: () => void this.#onChange.delete(fn) };
  }

  /** Whether `pod` may have what it says now; undefined when it may. */
  judge(pod: PodObject): ResizePending | undefined {
    const wanted = podRequests(pod, OPTIONS);
    const own = this.#pods.get(pod.metadata.uid ?? '')?.requests ?? new Map();
    for (const name of RESIZABLE) {
      const capacity = amount(this.#allocatable, name);
      if (amount(wanted, name) > capacity) {
        const message = `Node didn't have enough capacity: ${name}, requested: ${amount(wanted, name)}, capacity: ${capacity}`;
        return { reason: 'Infeasible', message };
      }
    }
    let used: Amounts = new Map();
    for (const [uid, { requests }] of this.#pods) if (uid !== pod.metadata.uid) used = addAmounts(used, requests);
    for (const name of RESIZABLE) {
      /* What asks for no more than it has is never refused. */
      if (amount(wanted, name) <= amount(own, name)) continue;
      const [requested, taken, capacity] = [amount(wanted, name), amount(used, name), amount(this.#allocatable, name)];
      if (requested + taken <= capacity) continue;
      const message = `Node didn't have enough resource: ${name}, requested: ${requested}, used: ${taken}, capacity: ${capacity}`;
      return { reason: 'Deferred', message };
    }
    return undefined;
  }

  /** `retry` is called when something has become free, until `set` or `release`; it keeps its turn when it asks again. */
  wait(pod: PodObject, retry: () => void): void {
    const uid = pod.metadata.uid ?? '';
    this.#waiting.set(uid, { pod, turn: this.#waiting.get(uid)?.turn ?? this.#turns++, retry });
  }

  /** It asks for nothing any more, or for what it cannot have. */
  giveUp(uid: string): void {
    this.#waiting.delete(uid);
  }

  #askWaiting(): void {
    for (const w of [...this.#waiting.values()].sort(inTurn)) w.retry();
  }
}

/** By priority, then Guaranteed before the rest, then who has waited longest. */
function inTurn(a: Waiting, b: Waiting): number {
  const guaranteed = (w: Waiting): number => (qosClassOf(w.pod.spec) === 'Guaranteed' ? 0 : 1);
  return (b.pod.spec.priority ?? 0) - (a.pod.spec.priority ?? 0) || guaranteed(a) - guaranteed(b) || a.turn - b.turn;
}

function exceeds(a: Amounts, b: Amounts, name: (typeof RESIZABLE)[number]): boolean {
  return amount(a, name) > amount(b, name);
}

/** CPU in thousandths, memory in bytes. */
function amount(of: Amounts, name: (typeof RESIZABLE)[number]): bigint {
  const quantity = of.get(name) ?? ZERO;
  return name === 'cpu' ? milliValue(quantity) : quantityValue(quantity);
}
