/**
 * The image of a container by its pull policy, told as events in the kubelet's words.
 * Source: kubernetes pkg/kubelet/images/image_manager.go; credentials: agent/images/keyring.ts.
 */
import { type Ctx, isKind, messageOf, StatusError } from '#lib/base';
import type { Image, RegistryCredentials } from '../../images/images.ts';
import { credentialsIn } from '../../images/keyring.ts';
import type { PodDeps } from '../deps.ts';
import type { ContainerSpec, PodObject } from '../model.ts';
import type { PodEvents } from '../pod-events.ts';

/** A failure with the waiting reason it shows. */
export class StartFailure extends Error {
  readonly reason: string;

  constructor(reason: string, message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'StartFailure';
    this.reason = reason;
  }
}

export async function ensureImage(
  d: PodDeps,
  pod: PodObject,
  container: ContainerSpec,
  events: PodEvents,
  c: Ctx,
): Promise<Image> {
  const reference = container.image ?? '';
  const policy = container.imagePullPolicy ?? 'IfNotPresent';
  const quoted = `"${reference}"`;
  const local = await findLocal(d, reference, c);
  if (local !== undefined && policy !== 'Always') {
    events.normal('Pulled', `Container image ${quoted} already present on machine`, container.name);
    return local;
  }
  if (policy === 'Never') {
    throw new StartFailure('ErrImageNeverPull', `Container image ${quoted} is not present with pull policy of Never`);
  }
  events.normal('Pulling', `Pulling image ${quoted}`, container.name);
  const begin = d.clock.monotonic();
  try {
    const image = await d.images.pull(
      reference,
      { credentials: (host, repository) => credentialsFor(d, pod, host, repository) },
      c,
    );
    const seconds = ((d.clock.monotonic() - begin) / 1000).toFixed(3);
    events.normal(
      'Pulled',
      `Successfully pulled image ${quoted} in ${seconds}s (${seconds}s including waiting). Image size: ${image.sizeBytes} bytes.`,
      container.name,
    );
    return image;
  } catch (e) {
    if (isKind(e, 'Cancelled')) throw e;
    if (isKind(e, 'BadRequest'))
      throw new StartFailure('InvalidImageName', `Failed to apply default image tag ${quoted}: ${messageOf(e)}`, e);
    const message = `Failed to pull image ${quoted}: ${messageOf(e)}`;
    events.warning('Failed', message, container.name);
    throw new StartFailure('ErrImagePull', message, e);
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
