/**
 * The image of a container by its pull policy, told as events in the kubelet's words.
 * An image that is here may still be pulled again: who has not shown that he may have it (agent/images/access/access.ts).
 * Source: kubernetes pkg/kubelet/images/image_manager.go; credentials: agent/images/keyring.ts.
 */
import type { DeepReadonly, Secret } from '#lib/api';
import { type Ctx, goDuration, isKind, messageOf, StatusError, type Timer } from '#lib/base';
import { parseReference } from '#lib/oci';
import type { PullSecret } from '../../images/access/access.ts';
import type { Image, PullOptions, RegistryCredentials } from '../../images/images.ts';
import { type Lookup, lookup } from '../../images/keyring.ts';
import { PullProgress } from '../../images/progress.ts';
import type { PodDeps } from '../deps.ts';
import type { ContainerSpec, PodObject } from '../model.ts';
import type { PodEvents } from '../pod-events.ts';

const PROGRESS_AFTER_MS = 10_000;
/** The last one after more than an hour and a half. */
const PROGRESS_EVENTS_MAX = 10;
/** Of one registry that a pull is tried by. */
const ACCOUNTS_MAX = 16;
/** Another account may have what this one may not; some registries say only that there is no such thing. */
const REFUSALS = ['Unauthorized', 'Forbidden', 'NotFound'] as const;
/** As long as a termination message: an image or a registry chooses the words, and each goes into the pod's status. */
const MESSAGE_CHARS_MAX = 4096;

/** A failure with the waiting reason it shows. */
export class StartFailure extends Error {
  readonly reason: string;

  constructor(reason: string, message: string, cause?: unknown) {
    super(message.slice(0, MESSAGE_CHARS_MAX), { cause });
    this.name = 'StartFailure';
    this.reason = reason;
  }
}

export function ensureImage(
  d: PodDeps,
  pod: PodObject,
  container: ContainerSpec,
  events: PodEvents,
  c: Ctx,
): Promise<Image> {
  const { name, image: reference = '', imagePullPolicy: policy = 'IfNotPresent' } = container;
  return pullByPolicy(d, { pod, reference, policy, events, container: name }, c);
}

export interface WantedImage {
  readonly pod: PodObject;
  readonly reference: string;
  readonly policy: string;
  readonly events: PodEvents;
  /** Absent: it is wanted by the pod, for a volume. */
  readonly container?: string;
}

export async function pullByPolicy(d: PodDeps, w: WantedImage, c: Ctx): Promise<Image> {
  const { reference, events, container } = w;
  const quoted = `"${reference}"`;
  const local = await findLocal(d, reference, c);
  if (local !== undefined && w.policy !== 'Always' && (await isOpenTo(d, w, local))) {
    events.normal(
      'Pulled',
      `Container image ${quoted} already present on machine and can be accessed by the pod`,
      container,
    );
    return local;
  }
  if (w.policy === 'Never') {
    const message = `Container image ${quoted} is not present with pull policy of Never`;
    events.warning('ErrImageNeverPull', message, container);
    throw new StartFailure('ErrImageNeverPull', message);
  }
  events.normal('Pulling', `Pulling image ${quoted}`, container);
  const begin = d.clock.monotonic();
  try {
    const image = await pullTold(d, w, c);
    const took = goDuration(d.clock.monotonic() - begin);
    events.normal(
      'Pulled',
      `Successfully pulled image ${quoted} in ${took} (${took} including waiting). Image size: ${image.sizeBytes} bytes.`,
      container,
    );
    return image;
  } catch (e) {
    if (isKind(e, 'Cancelled')) throw e;
    if (isKind(e, 'BadRequest'))
      throw new StartFailure('InvalidImageName', `Failed to apply default image tag ${quoted}: ${messageOf(e)}`, e);
    const message = `Failed to pull image ${quoted}: ${messageOf(e)}${lostSecrets(d, w.pod)}`;
    events.warning('Failed', message, container);
    throw new StartFailure('ErrImagePull', message, e);
  }
}

/** A pull that lasts says by events how far it is: after ten seconds, then after twice as long each time. */
async function pullTold(d: PodDeps, w: WantedImage, c: Ctx): Promise<Image> {
  const { reference, events, container } = w;
  const progress = new PullProgress();
  let timer: Timer | undefined;
  let told = 0;
  const tellAfter = (delayMs: number): void => {
    timer = d.clock.after(
      delayMs,
      () => {
        events.normal('Pulling', `Pulling image "${reference}": ${progress.text()}`, container);
        if (++told < PROGRESS_EVENTS_MAX) tellAfter(delayMs * 2);
      },
      { unref: true },
    );
  };
  tellAfter(PROGRESS_AFTER_MS);
  try {
    return await pullByAny(d, w, (p) => progress.update(p), c);
  } finally {
    timer?.cancel();
  }
}

type OnProgress = NonNullable<PullOptions['onProgress']>;

/** By each of the pod's accounts at a registry, the nearest first, until one may have it. Source: image_manager.go (pullImage). */
async function pullByAny(d: PodDeps, w: WantedImage, onProgress: OnProgress, c: Ctx): Promise<Image> {
  const { pod, reference } = w;
  for (let tries = 1; ; tries++) {
    let hasMore = false;
    const used: PullSecret[] = [];
    const credentials = (host: string, repository: string): RegistryCredentials | undefined => {
      const found = lookup(knownSecrets(d, pod), host, repository);
      hasMore ||= found.length > tries;
      const own = found[Math.min(tries, found.length) - 1];
      if (own !== undefined) used.push(pullSecretOf(own));
      return own?.credentials;
    };
    try {
      const image = await d.images.pull(reference, { credentials, onProgress }, c);
      await d.imageAccess?.pulled(image, reference, used, c);
      return image;
    } catch (e) {
      if (!hasMore || tries >= ACCOUNTS_MAX || !REFUSALS.some((kind) => isKind(e, kind))) throw e;
    }
  }
}

async function findLocal(d: PodDeps, reference: string, c: Ctx): Promise<Image | undefined> {
  try {
    return await d.images.find(reference, c);
  } catch (e) {
    if (e instanceof StatusError && e.kind === 'BadRequest')
      throw new StartFailure('InvalidImageName', messageOf(e), e);
    throw e;
  }
}

async function isOpenTo(d: PodDeps, { pod, reference }: WantedImage, image: Image): Promise<boolean> {
  if (d.imageAccess === undefined) return true;
  const { host, repository } = parseReference(reference);
  const namespace = pod.metadata.namespace ?? '';
  const withheld = (pod.spec.imagePullSecrets ?? []).flatMap(({ name = '' }): PullSecret[] => {
    const uid = d.objects.withheldSecret(namespace, name);
    return uid === undefined ? [] : [{ namespace, name, uid }];
  });
  const own = lookup(knownSecrets(d, pod), host, repository).map(pullSecretOf);
  return await d.imageAccess.isOpenTo(image, reference, [...own, ...withheld]);
}

/** One that is not there is passed over, as by the kubelet: the image may be public. */
function knownSecrets(d: PodDeps, pod: PodObject): readonly DeepReadonly<Secret>[] {
  const namespace = pod.metadata.namespace ?? '';
  const found = (pod.spec.imagePullSecrets ?? []).map((ref) => d.objects.get('secrets', namespace, ref.name ?? ''));
  return found.filter((secret) => secret !== undefined);
}

function pullSecretOf({ secret, credentials }: Lookup): PullSecret {
  const { namespace = '', name, uid = '' } = secret.metadata;
  return { namespace, name, uid, credentials };
}

function lostSecrets(d: PodDeps, pod: PodObject): string {
  const namespace = pod.metadata.namespace ?? '';
  const names = (pod.spec.imagePullSecrets ?? []).map((ref) => ref.name ?? '');
  const lost = names.filter((name) => d.objects.withheldSecret(namespace, name) !== undefined);
  return lost.length === 0 ? '' : ` (pull secrets that wait for the control plane: ${lost.join(', ')})`;
}
