/**
 * Instructions by which a commit or an import changes an image's config (`changes`).
 * Source: moby daemon/builder/dockerfile/builder.go (BuildFromConfig, validCommitCommands). Pure.
 */
import { invalid } from '../dockerfile/error.ts';
import { parseInstruction } from '../dockerfile/parse.ts';
import type { BuildConfig } from './config.ts';
import { applyMetadata, type StageState, workingDirOf } from './metadata.ts';
import { GlobalScope, StageScope } from './scope.ts';

const ALLOWED: ReadonlySet<string> = new Set([
  ...[
    'CMD',
    'ENTRYPOINT',
    'ENV',
    'EXPOSE',
    'HEALTHCHECK',
    'LABEL',
    'ONBUILD',
    'STOPSIGNAL',
    'USER',
    'VOLUME',
    'WORKDIR',
  ],
]);
const CHANGES_MAX = 1_000;

/** Throws DockerfileError, Invalid. */
export function applyChanges(base: BuildConfig, changes: readonly string[]): BuildConfig {
  if (changes.length > CHANGES_MAX) throw invalid(`more than ${CHANGES_MAX} changes`);
  const globals = new GlobalScope({ buildArgs: new Map(), platform: new Map(), escape: '\\' });
  const scope = new StageScope({ globals, buildArgs: new Map(), escape: '\\', env: base.env });
  let state: StageState = { config: base, hasOwnCmd: false };
  for (const text of changes) {
    if (text.trim() === '') continue;
    const i = parseInstruction(text);
    if (!ALLOWED.has(i.kind)) throw invalid(`${i.kind} is not a valid change command`);
    switch (i.kind) {
      case 'RUN':
      case 'COPY':
      case 'ADD':
        throw invalid(`${i.kind} is not a valid change command`);
      case 'WORKDIR':
        state = { ...state, config: { ...state.config, workingDir: workingDirOf(state.config, scope.expand(i.word)) } };
        break;
      default:
        ({ state } = applyMetadata(state, i, scope));
    }
  }
  return state.config;
}
