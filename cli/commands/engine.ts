/**
 * `berth engine`: the Docker Engine API alone, without a cluster: images, containers, networks and volumes of one home. Its end
 * leaves every container running; the next one finds them.
 */
import { join, resolve } from 'node:path';
import { type Ctx, createLogger, makePrivateFolder, realClock, realRandom, Scope, StatusError } from '#lib/base';
import { proxiesOf } from '#lib/oci';
import { openDoor } from '../../agent/engine/door.ts';
import { openImages } from '../../agent/images/open.ts';
import { openKernel } from '../../agent/kernel/linux/open.ts';
import { readNodeConfiguration } from '../../agent/node-configuration.ts';
import { type DockerDoorOptions, dockerDoor } from '../docker-door.ts';
import { DEFAULT_INSTANCE, defaultHome } from '../layout.ts';
import { INSTANCE_TEXT, isInstance } from '../names.ts';
import { helperPath, untilStopped } from '../process.ts';
import { VERSION } from '../version.ts';

export interface EngineCommandOptions extends DockerDoorOptions {
  readonly instance?: string;
  readonly home?: string;
  readonly runtime?: string;
  readonly certsDir?: string;
  readonly logLevel?: string;
}

const DEFAULT_CERTS_FOLDER = '/etc/berth/certs.d';

export async function engineCommand(o: EngineCommandOptions): Promise<void> {
  const instance = o.instance ?? DEFAULT_INSTANCE;
  if (!isInstance(instance)) throw new StatusError('Invalid', `--instance ${instance}: ${INSTANCE_TEXT}`);
  const settings = await dockerDoor(o, instance, '--');
  if (process.getuid?.() !== 0)
    throw new StatusError(
      'Invalid',
      'berth engine needs root: containers are namespaces, mounts and links. Run it with sudo.',
    );
  const home = resolve(o.home ?? join(defaultHome(instance), 'engine'));
  const log = createLogger({ component: 'engine', level: o.logLevel });
  await using scope = new Scope('berth engine');
  const c: Ctx = { signal: scope.signal, clock: realClock, log };
  const stopped = untilStopped();
  await makePrivateFolder(home);
  const registries = { certsFolder: o.certsDir ?? DEFAULT_CERTS_FOLDER, proxy: proxiesOf(process.env) };
  const { isolation, runtimeHandlers } = await readNodeConfiguration(home);
  const shared = { clock: realClock, random: realRandom, log };
  const kernel = scope.own(
    await openKernel({ helperPath: helperPath(), environment: process.env, random: realRandom }),
  );
  const images = scope.own(await openImages({ kernel, folder: join(home, 'images'), ...registries, ...shared }, c));
  const engine = { kernel, images, folder: join(home, 'engine'), instance, registries, ...shared };
  const runtime = o.runtime ?? 'auto';
  const door = scope.own(
    await openDoor(settings, { ...engine, runtime, runtimeHandlers, isolation, version: VERSION }, c),
  );
  await door.open();
  process.stdout.write(`The Docker Engine API is served.\n  export DOCKER_HOST=unix://${settings.socket}\n`);
  await stopped;
  log.info({}, 'engine stopping; containers run on');
}
