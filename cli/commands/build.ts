/**
 * `berth build`: without a daemon, as root; one builder of a home at a time. An interrupt ends the running steps and leaves
 * what was finished in the cache. Exit codes as docker's: 1 when a step fails, whatever it returned; 130 after an interrupt.
 */
import { join, resolve } from 'node:path';
import { type Ctx, createLogger, realClock, realRandom, StatusError } from '#lib/base';
import {
  DistributionClient,
  localPlatform,
  type Platform,
  parseReference,
  proxiesOf,
  type RemoteRepository,
} from '#lib/oci';
import { parseCacheExport, parseCacheImport } from '../../agent/build/cache/travelling.ts';
import { FolderTree } from '../../agent/build/context/folder-tree.ts';
import { IgnoringTree } from '../../agent/build/context/ignoring-tree.ts';
import { IgnorePatterns } from '../../agent/build/context/patterns.ts';
import { DockerfileError } from '../../agent/build/dockerfile/error.ts';
import type { Builder, BuildRequest } from '../../agent/build/node/builder.ts';
import type { FinishedImage } from '../../agent/build/node/finish.ts';
import { openOwnBuilder } from '../../agent/build/node/own-builder.ts';
import { writeArchive } from '../../agent/build/output/archive.ts';
import { type ArchiveOptions, checkDest, parseOutput } from '../../agent/build/output/options.ts';
import { type PushedManifest, pushImage, pushIndex } from '../../agent/build/output/push.ts';
import type { PullOptions } from '../../agent/images/images.ts';
import { isSamePlatform, parsePlatform, platformText } from '../../agent/images/platform.ts';
import { CertsFolder } from '../../agent/images/registries/certs-folder.ts';
import { DEFAULT_INSTANCE, defaultHome } from '../layout.ts';
import { BuildProgress } from '../output/build-progress.ts';
import { helperPath } from '../process.ts';
import { waitForBuilder } from '../turn.ts';
import { readAgents } from './build-agents.ts';
import {
  checkTags,
  latestOf,
  parseBuildArgs,
  parseLabels,
  readBuildFile,
  readSecrets,
  savedCredentials,
} from './build-options.ts';

export interface BuildCommandOptions {
  readonly tag?: readonly string[];
  readonly file?: string;
  readonly target?: string;
  readonly buildArg?: readonly string[];
  readonly label?: readonly string[];
  /** False with --no-cache. */
  readonly cache?: boolean;
  readonly pull?: boolean;
  readonly cacheFrom?: readonly string[];
  readonly cacheTo?: readonly string[];
  readonly secret?: readonly string[];
  readonly ssh?: readonly string[];
  readonly platform?: string;
  readonly network?: string;
  readonly output?: readonly string[];
  readonly push?: boolean;
  readonly quiet?: boolean;
  readonly instance?: string;
  readonly home?: string;
  readonly runtime?: string;
  readonly certsDir?: string;
}

const DEFAULT_CERTS_FOLDER = '/etc/berth/certs.d';

export async function buildCommand(folder: string, o: BuildCommandOptions): Promise<number> {
  if (process.getuid?.() !== 0)
    throw new StatusError('Invalid', 'berth build needs root: it makes mounts and namespaces. Run it with sudo.');
  const instance = o.instance ?? DEFAULT_INSTANCE;
  const home = o.home ?? join(defaultHome(instance), 'build');
  const log = createLogger({ component: 'build', level: 'error' });
  const stop = new AbortController();
  const interrupt = (): void => stop.abort(new StatusError('Cancelled', 'the build was interrupted'));
  process.once('SIGINT', interrupt);
  process.once('SIGTERM', interrupt);
  const c: Ctx = { signal: stop.signal, clock: realClock, log };
  const say = (text: string): void => void process.stderr.write(text);
  const progress = new BuildProgress(o.quiet === true ? () => undefined : say);
  const platforms = platformsOf(o);
  const file = await readBuildFile(folder, o.file);
  const asked = await requestOf(folder, file, o, progress);
  const archives = (o.output ?? []).map(parseOutput);
  for (const archive of archives) await checkDest(archive);
  try {
    await using _turn = await waitForBuilder(home, (holder) => say(`waiting for ${holder}\n`), c);
    const registries = { certsFolder: o.certsDir ?? DEFAULT_CERTS_FOLDER, proxy: proxiesOf(process.env) };
    await using opened = await openOwnBuilder(
      {
        ...{ folder: home, instance, registries, log, clock: realClock, random: realRandom },
        ...{ helperPath: helperPath(), runtime: o.runtime ?? 'auto', platform: localPlatform() },
      },
      c,
    );
    const { builder } = opened;
    await using client = new DistributionClient({ random: realRandom, proxy: registries.proxy });
    const parts = { client, home, certsFolder: registries.certsFolder, say, ...asked };
    const made =
      platforms.length > 1
        ? await buildForEach(platforms, builder, asked, parts, c)
        : (await builder.build({ ...asked, platform: platforms[0], outputs: outputsOf(archives, o, parts) }, c)).id;
    await builder.tidy(c);
    await builder.images.builds.sweep(c);
    process.stdout.write(`${made}\n`);
    return 0;
  } catch (e) {
    if (stop.signal.aborted) {
      say('ERROR: the build was interrupted\n');
      return 130;
    }
    if (!(e instanceof DockerfileError)) throw e;
    say(progress.failure(e, file.text, file.name));
    return 1;
  } finally {
    process.off('SIGINT', interrupt);
    process.off('SIGTERM', interrupt);
  }
}

async function requestOf(
  folder: string,
  file: Awaited<ReturnType<typeof readBuildFile>>,
  o: BuildCommandOptions,
  progress: BuildProgress,
): Promise<Omit<BuildRequest, 'outputs'>> {
  const network = o.network ?? 'default';
  if (network !== 'default' && network !== 'none' && network !== 'host')
    throw new StatusError('Invalid', `--network ${network}: default, none or host`);
  const credentials = await savedCredentials(process.env);
  const tags = checkTags(o.tag ?? []);
  if (o.push === true && tags.length === 0) throw new StatusError('Invalid', '--push needs a name: add -t');
  const buildArgs = parseBuildArgs(o.buildArg ?? [], process.env);
  return {
    ...{ dockerfile: file.text, target: o.target ?? '', buildArgs, tags, network },
    context: new IgnoringTree(new FolderTree(resolve(folder)), IgnorePatterns.parse(file.ignore)),
    labels: parseLabels(o.label ?? []),
    noCache: o.cache === false,
    pull: o.pull === true,
    cacheFrom: (o.cacheFrom ?? []).map(parseCacheImport),
    cacheTo: (o.cacheTo ?? []).map(parseCacheExport),
    secrets: await readSecrets(o.secret ?? [], process.env),
    agents: await readAgents(o.ssh ?? [], process.env),
    latestMs: latestOf(buildArgs, process.env),
    pulls: credentials === undefined ? {} : { credentials },
    onEvent: (e) => progress.on(e),
  };
}

interface OutputParts {
  readonly client: DistributionClient;
  readonly home: string;
  readonly certsFolder: string;
  readonly pulls?: PullOptions | undefined;
  readonly say: (text: string) => void;
}

function outputsOf(
  archives: readonly ArchiveOptions[],
  o: BuildCommandOptions,
  parts: OutputParts,
): BuildRequest['outputs'] {
  const written = archives.map((archive) => async (image: FinishedImage, c: Ctx) => {
    await writeArchive(image, archive, c);
    parts.say(`written ${archive.dest}\n`);
  });
  return o.push === true ? [...written, (image, c) => pushAll(image, parts, c)] : written;
}

async function pushAll(image: FinishedImage, p: OutputParts, c: Ctx): Promise<void> {
  for (const text of image.references) {
    const { to, tag } = await repositoryOf(text, p, c);
    const folder = join(p.home, 'pushed');
    const { digest } = await pushImage(image, { to, tag, folder }, c);
    p.say(`pushed ${to.host}/${to.name}@${digest}\n`);
  }
}

async function repositoryOf(text: string, p: OutputParts, c: Ctx): Promise<{ to: RemoteRepository; tag: string }> {
  const { host, repository, tag = 'latest' } = parseReference(text);
  const at = (await new CertsFolder(p.certsFolder, c.log).hostsOf(host)).at(-1);
  const credentials = p.pulls?.credentials?.(host, repository);
  return { to: p.client.repository(host, repository, { credentials, at }), tag };
}

/** Throws Invalid for what cannot be made of several. */
function platformsOf(o: BuildCommandOptions): readonly Platform[] {
  const platforms = (o.platform ?? '').split(',').flatMap((text) => (text === '' ? [] : [parsePlatform(text)]));
  if (platforms.length < 2) return platforms;
  const refuse = (why: string): never => {
    throw new StatusError('Invalid', `--platform ${o.platform}: several platforms ${why}`);
  };
  if (o.push !== true) refuse('are pushed under one name: add --push');
  if ((o.output ?? []).length > 0) refuse('are pushed under one name: leave --output out');
  if ((o.cacheTo ?? []).map(parseCacheExport).some((e) => e.type === 'registry'))
    refuse('would each replace the cache of the one before: build for one at a time with --cache-to');
  return platforms;
}

/** One after the other: each is pushed by its digest, and an index of them under every tag. Gives its digest. */
async function buildForEach(
  platforms: readonly Platform[],
  builder: Builder,
  asked: Omit<BuildRequest, 'outputs'>,
  p: OutputParts,
  c: Ctx,
): Promise<string> {
  const places = await Promise.all(asked.tags.map((t) => repositoryOf(t, p, c)));
  const done = new Map<(typeof places)[number], { platform: Platform; pushed: PushedManifest }[]>();
  for (const platform of platforms) {
    p.say(`for ${platformText(platform)}:\n`);
    const push = async (image: FinishedImage, own: Ctx): Promise<void> => {
      for (const place of places) {
        const o = { to: place.to, tag: undefined, folder: join(p.home, 'pushed'), random: realRandom };
        done.set(place, [...(done.get(place) ?? []), { platform, pushed: await pushImage(image, o, own) }]);
      }
    };
    // A name of this machine stands for what runs here.
    const tags = isSamePlatform(platform, localPlatform()) ? asked.tags : [];
    await builder.build({ ...asked, tags, platform, outputs: [push] }, c);
  }
  let index = '';
  for (const [place, images] of done) {
    index = await pushIndex(images, place, c);
    p.say(`pushed ${place.to.host}/${place.to.name}@${index}\n`);
  }
  return index;
}
