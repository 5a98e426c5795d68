/**
 * A new key for service account tokens, on request: `berth secrets rotate-token-keys` writes a record, some server makes the key
 * and writes what came of it. The record holds no key, so that who asks needs none of the keys that seal the others.
 *
 * Harmless when repeated, by several servers or after a crash between any two steps: the key bears the id of its request.
 */
import { type Ctx, isKind, messageOf, StatusError } from '#lib/base';
import type { Entry, Revision, Store } from '#lib/store';
import type { Rotated, StoreTokenKeys } from './store-token-keys.ts';

/** Not below the keys' own: what is there is sealed. */
export const TOKEN_KEY_ROTATION_KEY = '/berth/token-key-rotation';

const LOOK_MS = 5_000;
const ASK_MS = 200;
const WRITE_ATTEMPTS = 8;

type Outcome =
  | { readonly result: 'rotated'; readonly key: Rotated }
  | { readonly result: 'refused'; readonly why: string };

interface Request {
  readonly version: 1;
  readonly id: string;
  /** Absent until a server has dealt with it. */
  readonly outcome?: Outcome | undefined;
}

/** Deals with requests until the signal aborts. */
export async function runTokenKeyRotations(
  o: { readonly store: Store; readonly keys: Pick<StoreTokenKeys, 'rotate'> },
  c: Ctx,
): Promise<void> {
  while (!c.signal.aborted) {
    await c.clock.sleep(LOOK_MS, c.signal).catch(() => undefined);
    if (c.signal.aborted) return;
    try {
      await answerRequest(o, c);
    } catch (err) {
      if (!c.signal.aborted) c.log.warn({ err }, 'a new key for service account tokens was asked for; trying again');
    }
  }
}

async function answerRequest(
  { store, keys }: { readonly store: Store; readonly keys: Pick<StoreTokenKeys, 'rotate'> },
  c: Ctx,
): Promise<void> {
  const entry = await store.get(TOKEN_KEY_ROTATION_KEY, c);
  const request = entry === undefined ? undefined : decode(entry);
  if (entry === undefined || request === undefined || request.outcome !== undefined) return;
  const outcome = await outcomeOf(request.id, keys, c);
  try {
    await store.update(TOKEN_KEY_ROTATION_KEY, encode({ ...request, outcome }), entry.revision, {}, c);
  } catch (e) {
    // Another server has answered.
    if (!isKind(e, 'Conflict')) throw e;
  }
  c.log.info({ outcome }, 'a new key for service account tokens was asked for');
}

async function outcomeOf(id: string, keys: Pick<StoreTokenKeys, 'rotate'>, c: Ctx): Promise<Outcome> {
  try {
    return { result: 'rotated', key: await keys.rotate(c, id) };
  } catch (e) {
    if (!isKind(e, 'TooManyRequests')) throw e;
    return { result: 'refused', why: messageOf(e) };
  }
}

/**
 * Asks, and waits for what comes of it; an earlier request that nobody has dealt with yet is followed instead. Throws
 * TooManyRequests when a server refuses, DeadlineExceeded after `limitMs`: the request stands.
 */
export async function requestTokenKeyRotation(
  store: Store,
  o: { readonly id: string; readonly limitMs: number },
  c: Ctx,
): Promise<Rotated> {
  const id = await ask(store, o.id, c);
  const end = c.clock.monotonic() + o.limitMs;
  for (;;) {
    const entry = await store.get(TOKEN_KEY_ROTATION_KEY, c);
    const request = entry === undefined ? undefined : decode(entry);
    if (request?.id !== id) throw new StatusError('Conflict', 'another rotation was asked for meanwhile');
    const { outcome } = request;
    if (outcome?.result === 'rotated') return outcome.key;
    if (outcome?.result === 'refused') throw new StatusError('TooManyRequests', outcome.why);
    if (c.clock.monotonic() >= end)
      throw new StatusError(
        'DeadlineExceeded',
        'no server has made the key yet: is one running? The next one that runs will make it',
      );
    await c.clock.sleep(ASK_MS, c.signal);
  }
}

async function ask(store: Store, id: string, c: Ctx): Promise<string> {
  for (let attempt = 1; ; attempt++) {
    const entry = await store.get(TOKEN_KEY_ROTATION_KEY, c);
    const known = entry === undefined ? undefined : decode(entry);
    if (known !== undefined && known.outcome === undefined) return known.id;
    try {
      await write(store, encode({ version: 1, id }), entry?.revision, c);
      return id;
    } catch (e) {
      if (!(isKind(e, 'Conflict') || isKind(e, 'AlreadyExists')) || attempt >= WRITE_ATTEMPTS) throw e;
    }
  }
}

async function write(store: Store, value: Buffer, revision: Revision | undefined, c: Ctx): Promise<void> {
  if (revision === undefined) await store.create(TOKEN_KEY_ROTATION_KEY, value, {}, c);
  else await store.update(TOKEN_KEY_ROTATION_KEY, value, revision, {}, c);
}

function encode(request: Request): Buffer {
  return Buffer.from(JSON.stringify(request));
}

function decode(entry: Entry): Request {
  const value = JSON.parse(entry.value.toString('utf8')) as Request;
  if (value.version !== 1) throw new StatusError('Internal', `${TOKEN_KEY_ROTATION_KEY} is of a newer Berth`);
  return value;
}
