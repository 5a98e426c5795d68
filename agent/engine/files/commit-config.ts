/**
 * The config of an image that is made of a container: the container's own, what the client says instead, and instructions of a
 * Dockerfile on top. Source: moby daemon/commit.go (merge), daemon/builder/dockerfile/builder.go (BuildFromConfig). Pure.
 */
import { isKind, messageOf } from '#lib/base';
import type { JsonObject } from '#lib/oci';
import type { BuildInstruction } from '../../build/dockerfile/instructions.ts';
import { parseInstruction } from '../../build/dockerfile/parse.ts';
import { type BuildConfig, readBuildConfig } from '../../build/stage/config.ts';
import { applyMetadata, type MetadataInstruction, workingDirOf } from '../../build/stage/metadata.ts';
import { GlobalScope, StageScope } from '../../build/stage/scope.ts';
import { badParameter } from '../http/contract.ts';
import type { ContainerConfig } from '../types.ts';

/** Of a container's config, what an image has too. */
const KEPT = [
  ...['User', 'ExposedPorts', 'Env', 'Entrypoint', 'Cmd', 'Volumes', 'WorkingDir', 'Labels', 'StopSignal'],
  ...['Healthcheck', 'Shell', 'OnBuild'],
] as const;
/** Those a commit may ask for. */
const ALLOWED: ReadonlySet<BuildInstruction['kind']> = new Set([
  ...([
    'CMD',
    'ENTRYPOINT',
    'HEALTHCHECK',
    'ENV',
    'EXPOSE',
    'LABEL',
    'ONBUILD',
    'STOPSIGNAL',
    'USER',
    'VOLUME',
  ] as const),
  'WORKDIR' as const,
]);

/** `image`: the document the container was made of. Throws 400 for a change that is none. */
export function commitConfig(o: {
  readonly image: JsonObject;
  readonly container: ContainerConfig;
  readonly given: Partial<ContainerConfig> | undefined;
  readonly changes: readonly string[];
  readonly author: string;
}): BuildConfig {
  const { image, container, given, changes, author } = o;
  const run = merged(container, given ?? {});
  const base = readBuildConfig({ ...image, config: run });
  const config = changes.reduce(changed, { ...base, others: readBuildConfig(image).others });
  return author === '' ? config : { ...config, author };
}

/** What the client says wins; variables and labels are added to. */
function merged(container: ContainerConfig, given: Partial<ContainerConfig>): JsonObject {
  const out: Record<string, unknown> = {};
  for (const key of KEPT) {
    const own = Reflect.get(container, key);
    const said = Reflect.get(given, key);
    const value = isSaid(said) ? said : own;
    if (isSaid(value)) out[key] = value;
  }
  const name = (e: string): string => e.split('=', 1)[0] ?? '';
  const said = given.Env ?? [];
  const known = new Set(said.map(name));
  const env = [...container.Env.filter((e) => !known.has(name(e))), ...said];
  if (env.length > 0) out['Env'] = env;
  const labels = { ...container.Labels, ...given.Labels };
  if (Object.keys(labels).length > 0) out['Labels'] = labels;
  return out;
}

function isSaid(value: unknown): boolean {
  if (value === undefined || value === null || value === '') return false;
  return !Array.isArray(value) || value.length > 0;
}

function changed(config: BuildConfig, text: string): BuildConfig {
  try {
    const instruction = parseInstruction(text);
    if (!ALLOWED.has(instruction.kind)) throw badParameter(`${instruction.kind} is not a valid change command`);
    const globals = new GlobalScope({ buildArgs: new Map(), platform: new Map(), escape: '\\' });
    const scope = new StageScope({ globals, buildArgs: new Map(), escape: '\\', env: config.env });
    if (instruction.kind === 'WORKDIR')
      return { ...config, workingDir: workingDirOf(config, scope.expand(instruction.word)) };
    if (!isMetadata(instruction)) throw badParameter(`${instruction.kind} is not a valid change command`);
    return applyMetadata({ config, hasOwnCmd: false }, instruction, scope).state.config;
  } catch (e) {
    if (isKind(e, 'BadRequest') || isKind(e, 'Invalid')) throw badParameter(messageOf(e));
    throw e;
  }
}

function isMetadata(i: BuildInstruction): i is MetadataInstruction {
  return i.kind !== 'RUN' && i.kind !== 'COPY' && i.kind !== 'ADD' && i.kind !== 'WORKDIR';
}
