/**
 * Instructions that make no layer: what they change of the config. RUN, COPY, ADD are executed (../solve), WORKDIR both.
 * Source: Dockerfile reference; buildkit frontend/dockerfile for what history says. Pure.
 */
import { at, invalid } from '../dockerfile/error.ts';
import type { BuildInstruction, CommandLine } from '../dockerfile/instructions.ts';
import type { BuildConfig } from './config.ts';
import type { StageScope } from './scope.ts';
import { isSignal } from './signals.ts';

export interface StageState {
  readonly config: BuildConfig;
  /** CMD was given in this stage: an ENTRYPOINT after it leaves it. */
  readonly hasOwnCmd: boolean;
}

export type LayerInstruction = BuildInstruction & { kind: 'RUN' | 'COPY' | 'ADD' | 'WORKDIR' };
export type MetadataInstruction = Exclude<BuildInstruction, LayerInstruction>;

export const DEFAULT_SHELL: readonly string[] = ['/bin/sh', '-c'];
const PORTS_MAX = 10_000;

/** The state after the instruction, and what history says of it. Throws DockerfileError. */
export function applyMetadata(
  before: StageState,
  i: MetadataInstruction,
  scope: StageScope,
): { readonly state: StageState; readonly history: string } {
  return at(i.lines, () => {
    const { config } = before;
    const changed = (change: Partial<BuildConfig>, history: string): ReturnType<typeof applyMetadata> => ({
      state: { ...before, config: { ...config, ...change } },
      history,
    });
    switch (i.kind) {
      case 'ARG':
        for (const { key, value } of i.args) scope.declareArg(key, value);
        return { state: before, history: i.original.trim() };
      case 'ENV':
        scope.setEnv(i.pairs);
        return changed(
          { env: scope.env },
          `ENV ${i.pairs.map((p) => `${scope.expand(p.key)}=${envOf(scope, p.key)}`).join(' ')}`,
        );
      case 'LABEL': {
        const pairs = i.pairs.map((p) => [scope.expand(p.key), scope.expand(p.value)] as const);
        if (pairs.some(([key]) => key === '')) throw invalid('LABEL names can not be blank');
        return changed(
          { labels: { ...config.labels, ...Object.fromEntries(pairs) } },
          `LABEL ${pairs.map(([k, v]) => `${k}=${v}`).join(' ')}`,
        );
      }
      case 'CMD':
      case 'ENTRYPOINT':
        return applyCommand(before, i);
      case 'EXPOSE': {
        const ports = i.words.flatMap((w) => scope.expandWords(w)).flatMap(portsOf);
        return changed({ exposedPorts: union(config.exposedPorts, ports) }, `EXPOSE [${ports.join(' ')}]`);
      }
      case 'VOLUME': {
        const volumes = i.words.map((w) => scope.expand(w));
        if (volumes.includes('')) throw invalid('VOLUME specified can not be an empty string');
        return changed({ volumes: union(config.volumes, volumes) }, `VOLUME [${volumes.join(' ')}]`);
      }
      case 'USER': {
        const user = scope.expand(i.word);
        if (user === '') throw invalid('USER requires exactly one argument');
        return changed({ user }, `USER ${user}`);
      }
      case 'STOPSIGNAL': {
        const stopSignal = scope.expand(i.word);
        if (!isSignal(stopSignal)) throw invalid(`invalid signal: ${stopSignal}`);
        return changed({ stopSignal }, `STOPSIGNAL ${stopSignal}`);
      }
      case 'SHELL':
        return changed({ shell: i.words }, `SHELL [${i.words.join(' ')}]`);
      case 'HEALTHCHECK':
        return changed({ healthcheck: i.check }, i.original.trim());
      case 'MAINTAINER':
        return changed({ author: i.word }, `MAINTAINER ${i.word}`);
      case 'ONBUILD':
        return changed({ onBuild: [...config.onBuild, i.trigger] }, `ONBUILD ${i.trigger}`);
    }
  });
}

/** The absolute path that WORKDIR says, and the config with it. */
export function workingDirOf(config: BuildConfig, written: string): string {
  if (written === '') throw invalid('WORKDIR requires exactly one argument');
  const parts: string[] = [];
  const base = written.startsWith('/') ? '' : config.workingDir;
  for (const part of `${base}/${written}`.split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..') parts.pop();
    else parts.push(part);
  }
  return `/${parts.join('/')}`;
}

/** What a shell form runs by, or the exec form itself. */
export function commandWords(command: CommandLine, config: BuildConfig): readonly string[] {
  return command.isShell ? [...(config.shell ?? DEFAULT_SHELL), ...command.words] : command.words;
}

/** An ENTRYPOINT takes away the CMD of the base, which was meant for the base's program. */
function applyCommand(
  before: StageState,
  i: MetadataInstruction & { kind: 'CMD' | 'ENTRYPOINT' },
): ReturnType<typeof applyMetadata> {
  const { config } = before;
  const words = i.command.words.length === 0 ? [] : commandWords(i.command, config);
  const history = `${i.kind} ${JSON.stringify(words)}`;
  if (i.kind === 'CMD') return { state: { hasOwnCmd: true, config: { ...config, cmd: words } }, history };
  const entrypoint = words.length === 0 ? undefined : words;
  return {
    state: { ...before, config: { ...config, entrypoint, cmd: before.hasOwnCmd ? config.cmd : undefined } },
    history,
  };
}

function envOf(scope: StageScope, key: string): string {
  const prefix = `${scope.expand(key)}=`;
  return scope.env.find((e) => e.startsWith(prefix))?.slice(prefix.length) ?? '';
}

function union(a: readonly string[], b: readonly string[]): readonly string[] {
  return [...new Set([...a, ...b])];
}

/** `80`, `80/udp`, `8000-8010/tcp`; of `host:container` the container's. */
function portsOf(word: string): readonly string[] {
  const [, from = '', to, protocol = 'tcp'] = /^(?:.*:)?(\d{1,5})(?:-(\d{1,5}))?(?:\/([a-zA-Z]+))?$/.exec(word) ?? [];
  const [first, last] = [Number(from), Number(to ?? from)];
  if (from === '' || first < 1 || last > 65_535) throw invalid(`invalid containerPort: ${word}`);
  if (last < first) throw invalid(`invalid range specified for port: ${word}`);
  if (last - first >= PORTS_MAX) throw invalid(`${word}: more than ${PORTS_MAX} ports`);
  const proto = protocol.toLowerCase();
  if (!['tcp', 'udp', 'sctp'].includes(proto)) throw invalid(`invalid proto: ${protocol}`);
  return Array.from({ length: last - first + 1 }, (_, n) => `${first + n}/${proto}`);
}
