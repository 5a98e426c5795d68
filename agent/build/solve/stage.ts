/** One stage: its base, then its instructions one after the other. */
import { type Ctx, messageOf, StatusError, timeText } from '#lib/base';
import type { Platform } from '#lib/oci';
import { parsePlatform } from '../../images/platform.ts';
import { at, DockerfileError, StepFailed } from '../dockerfile/error.ts';
import type { BuildInstruction } from '../dockerfile/instructions.ts';
import { parseInstruction } from '../dockerfile/parse.ts';
import { EMPTY_CONFIG, type HistoryEntry, readBuildConfig, readHistory } from '../stage/config.ts';
import { folderKey } from '../stage/keys.ts';
import { applyMetadata, type MetadataInstruction, type StageState, workingDirOf } from '../stage/metadata.ts';
import type { PlannedStage } from '../stage/plan.ts';
import { StageScope } from '../stage/scope.ts';
import { copyStep } from './copy-step.ts';
import { folderLayer } from './folder-step.ts';
import type { StepResult } from './options.ts';
import type { StepId } from './progress.ts';
import { runStep } from './run-step.ts';
import type { BuildScope, SolvedStage } from './solver.ts';
import type { Layer } from './worker.ts';

/** What an instruction sees of its stage. */
export interface StageView {
  readonly build: BuildScope;
  readonly planned: PlannedStage;
  readonly scope: StageScope;
  readonly state: StageState;
  readonly layers: readonly Layer[];
  readonly step: StepId;
  readonly platform: Platform;
}

interface Running {
  readonly platform: Platform;
  state: StageState;
  layers: readonly Layer[];
  history: HistoryEntry[];
  createdMs: number;
}

export async function solveStage(planned: PlannedStage, build: BuildScope, c: Ctx): Promise<SolvedStage> {
  const { globals, buildArgs, file } = build.options;
  const base = await baseOf(planned, build, c);
  const onBuild = base.state.config.onBuild.map(parseInstruction);
  const instructions = [...onBuild, ...planned.stage.instructions];
  const told = { stageIndex: planned.index, base: base.id, triggers: onBuild.length };
  void build.options.onEvent({ kind: 'stage-begins', ...told });
  const scope = new StageScope({
    globals,
    buildArgs,
    escape: file.escapeToken,
    inherited: base.declared,
    env: base.state.config.env,
  });
  const { declared: _, id: __, ...start } = base;
  // Triggers run once: what stands on this stage does not run them again.
  const running: Running = { ...start, state: { ...base.state, config: { ...base.state.config, onBuild: [] } } };
  for (const [n, instruction] of instructions.entries()) {
    c.signal.throwIfAborted();
    const step = { stageIndex: planned.index, stage: planned.title, number: n + 1, total: instructions.length };
    await oneStep(instruction, running, { build, planned, scope, step, platform: running.platform }, c);
  }
  const { state, layers, history, createdMs, platform } = running;
  void build.options.onEvent({ kind: 'stage-ends', stageIndex: planned.index });
  return { config: state.config, layers, history, createdMs, platform, declared: scope.declared };
}

type Place = Pick<StageView, 'build' | 'planned' | 'scope' | 'step' | 'platform'>;

async function oneStep(i: BuildInstruction, running: Running, place: Place, c: Ctx): Promise<void> {
  const { onEvent, clock } = place.build.options;
  const beganMs = clock.monotonic();
  void onEvent({ kind: 'step-begins', step: place.step, title: i.original.trim() });
  const ends = (outcome: 'cached' | 'done' | 'failed'): void => {
    const durationMs = clock.monotonic() - beganMs;
    void onEvent({ kind: 'step-ends', step: place.step, outcome, durationMs, chainId: running.layers.at(-1)?.chainId });
  };
  try {
    ends(await effectOf(i, running, place, c));
  } catch (e) {
    ends('failed');
    if (e instanceof DockerfileError || !(e instanceof StatusError) || e.kind === 'Cancelled') throw e;
    throw new StepFailed(i.lines, e.message, e);
  }
}

async function effectOf(i: BuildInstruction, running: Running, place: Place, c: Ctx): Promise<'cached' | 'done'> {
  const view: StageView = { ...place, state: running.state, layers: running.layers };
  switch (i.kind) {
    case 'RUN':
    case 'COPY':
    case 'ADD': {
      const made = i.kind === 'RUN' ? await runStep(i, view, c) : await copyStep(i, view, c);
      addLayer(running, made.result, made.history);
      return made.result.outcome;
    }
    case 'WORKDIR': {
      const { config } = running.state;
      const workingDir = at(i.lines, () => workingDirOf(config, place.scope.expand(i.word)));
      running.state = { ...running.state, config: { ...config, workingDir } };
      const result = await folderLayer(
        workingDir,
        folderKey(running.layers.at(-1)?.chainId ?? '', workingDir),
        view,
        c,
      );
      const history = `WORKDIR ${workingDir}`;
      if (result === undefined) addEmpty(running, history);
      else addLayer(running, result, history);
      return result?.outcome ?? 'done';
    }
    default: {
      const done = applyMetadata(running.state, i satisfies MetadataInstruction, place.scope);
      running.state = done.state;
      addEmpty(running, done.history);
      return 'done';
    }
  }
}

function addLayer(running: Running, made: StepResult, createdBy: string): void {
  running.layers = [...running.layers, made.layer];
  running.createdMs = Math.max(running.createdMs, made.createdMs);
  running.history.push({ created: timeText(made.createdMs), createdBy, comment: 'berth', emptyLayer: false });
}

/** As old as what it stands on, so that the same file makes the same image. */
function addEmpty(running: Running, createdBy: string): void {
  running.history.push({ created: timeText(running.createdMs), createdBy, comment: 'berth', emptyLayer: true });
}

/** Of a stage that stands on an image or on nothing. Throws DockerfileError. */
export function platformOf(planned: PlannedStage, target: Platform): Platform {
  const { platform, stage } = planned;
  return platform === undefined ? target : at(stage.from.lines, () => parsePlatform(platform));
}

async function baseOf(
  planned: PlannedStage,
  build: BuildScope,
  c: Ctx,
): Promise<Running & Pick<Partial<SolvedStage>, 'declared'> & { readonly id: string }> {
  const { base, stage } = planned;
  const { worker, pull } = build.options;
  const platform = platformOf(planned, build.options.platform);
  const nothing = { config: EMPTY_CONFIG, hasOwnCmd: false };
  if (base.kind === 'scratch') return { id: '', state: nothing, layers: [], history: [], createdMs: 0, platform };
  if (base.kind === 'stage') {
    const { config, layers, history, createdMs, declared, ...stage } = await build.stage(base.index);
    const id = layers.at(-1)?.chainId ?? '';
    const state = { config, hasOwnCmd: false };
    return { id, state, layers, history: [...history], createdMs, declared, platform: stage.platform };
  }
  try {
    const image = await worker.image(base.name, { platform, pull }, c);
    const config = readBuildConfig(image.config);
    const created = image.config['created'];
    return {
      id: image.id,
      state: { config, hasOwnCmd: false },
      layers: image.layers,
      history: [...readHistory(image.config)],
      createdMs: typeof created === 'string' ? Date.parse(created) || 0 : 0,
      platform: image.platform,
    };
  } catch (e) {
    c.signal.throwIfAborted();
    throw new StepFailed(stage.from.lines, `${base.name}: ${messageOf(e)}`, e);
  }
}
