/**
 * Shuffle sharding: each flow is dealt a hand of queues and uses the emptiest of them, so that two flows rarely share
 * all their queues and a flow with very many requests fills its own hand only.
 * Source: KEP-1040 "Assignment to a Queue"; k8s.io/apiserver/pkg/util/shufflesharding.
 */
import { hexOf, sha256 } from '#lib/base';

const HASH_HEX_DIGITS = 16;

/** 64 bits that stand for a flow: the flow schema and what tells its flows apart. */
export function flowHash(schemaName: string, distinguisher: string): bigint {
  return BigInt(`0x${hexOf(sha256(`${schemaName}\0${distinguisher}`)).slice(0, HASH_HEX_DIGITS)}`);
}

/** `handSize` different queues of [0, queues), the same for the same hash. A hand as large as the deck is the whole deck. */
export function dealHand(hash: bigint, queues: number, handSize: number): readonly number[] {
  const size = Math.min(handSize, queues);
  const hand: number[] = [];
  let rest = hash;
  for (let dealt = 0; dealt < size; dealt++) {
    const left = BigInt(queues - dealt);
    hand.push(nthUndealt(Number(rest % left), hand));
    rest /= left;
  }
  return hand;
}

/** The n-th card of those that are not yet in the hand. */
function nthUndealt(n: number, hand: readonly number[]): number {
  let card = n;
  for (const taken of [...hand].sort((a, b) => a - b)) if (card >= taken) card++;
  return card;
}
