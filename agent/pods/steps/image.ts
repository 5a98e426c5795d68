/**
 * The image of a container by its pull policy, told as events in the kubelet's words.
 * Source: kubernetes pkg/kubelet/images/image_manager.go; credentials: agent/images/keyring.ts.
 */
import { type Ctx, goDuration, isKind, messageOf, StatusError, type Timer } from '#lib/base';
import type { Image, RegistryCredentials } from '../../images/images.ts';
import { credentialsIn } from '../../images/keyring.ts';
import { PullProgress } from '../../images/progress.ts';
import type { PodDeps } from '../deps.ts';
import type { ContainerSpec, PodObject } from '../model.ts';
import type { PodEvents } from '../pod-events.ts';

const PROGRESS_AFTER_MS = 10_000;
/** The last one after more than an hour and a half. */
const PROGRESS_EVENTS_MAX = 10;
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
  if (local !== undefined && w.policy !== 'Always') {
    events.normal('Pulled', `Container image ${quoted} already present on machine`, container);
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
    const message = `Failed to pull image ${quoted}: ${messageOf(e)}`;
    events.warning('Failed', message, container);
    throw new StartFailure('ErrImagePull', message, e);
  }
}

/** A pull that lasts says by events how far it is: after ten seconds, then after twice as long each time. */
async function pullTold(d: PodDeps, w: WantedImage, c: Ctx): Promise<Image> {
  const { pod, reference, events, container } = w;
  const progress = new PullProgress();
  const credentials = (host: string, repository: string): RegistryCredentials | undefined =>
    credentialsFor(d, pod, host, repository);
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
    return await d.images.pull(reference, { credentials, onProgress: (p) => progress.update(p) }, c);
  } finally {
    timer?.cancel();
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

function credentialsFor(d: PodDeps, pod: PodObject, host: string, repository: string): RegistryCredentials | undefined {
  const namespace = pod.metadata.namespace ?? '';
  const secrets = (pod.spec.imagePullSecrets ?? []).map((ref) => d.objects.get('secrets', namespace, ref.name ?? ''));
  return credentialsIn(
    secrets.filter((secret) => secret !== undefined),
    host,
    repository,
  );
}
