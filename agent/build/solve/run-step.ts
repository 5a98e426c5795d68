/** RUN: a process in a container over the stage's layers; what it writes is the layer. */
import { type Ctx, messageOf, StatusError } from '#lib/base';
import { isSamePlatform, platformText } from '../../images/platform.ts';
import { clipped, resolveIn } from '../context/tree.ts';
import { treeKey } from '../context/tree-key.ts';
import { at, DockerfileError, invalid, type LineRange, StepFailed } from '../dockerfile/error.ts';
import type { RunInstruction } from '../dockerfile/instructions.ts';
import { parseMount, type RunMount } from '../dockerfile/mount.ts';
import { runKey } from '../stage/keys.ts';
import { workingDirOf } from '../stage/metadata.ts';
import { cachedLayer } from './cached.ts';
import type { StepResult } from './options.ts';
import { runCommand } from './run-command.ts';
import type { StageView } from './stage.ts';
import type { StepMount, StepProcess } from './worker.ts';

/** The command of a RUN ended with another code than 0. */
export class CommandFailed extends StepFailed {
  readonly exitCode: number;

  constructor(lines: LineRange, command: string, exitCode: number) {
    super(lines, `The command '${command}' returned a non-zero code: ${exitCode}`);
    this.exitCode = exitCode;
  }
}

const SECRETS_FOLDER = '/run/secrets';
/** And a number. Where BuildKit has it. */
const AGENT_SOCKET = '/run/buildkit/ssh_agent.';

interface Mounted {
  readonly mount: RunMount;
  /** For the key. */
  readonly content: string;
  readonly step: StepMount | undefined;
  readonly env: readonly string[];
}

export async function runStep(
  i: RunInstruction,
  view: StageView,
  c: Ctx,
): Promise<{ result: StepResult; history: string }> {
  const { scope, state, build } = view;
  const { worker, slots, onEvent, latestMs } = build.options;
  const command = at(i.lines, () => runCommand(i, state.config));
  const network = at(i.lines, () => allowed(i, build.options.network));
  const mounted = await inOrder<string, Mounted>(i.mounts, (text, before) => mountOf(text, { i, view, before }, c));
  const workingDir = state.config.workingDir === '' ? '/' : state.config.workingDir;
  const key = runKey({
    parent: view.layers.at(-1)?.chainId ?? '',
    argv: command.argv,
    env: [...scope.argsInEffect, ...scope.env],
    user: state.config.user,
    workingDir,
    network,
    security: i.security,
    mounts: mounted.map(({ mount, content }) => ({ mount, content })),
    files: command.script === undefined ? [] : [{ name: command.script.path, content: command.script.content }],
  });
  const script = command.script === undefined ? [] : [scriptMount(command.script)];
  const process: StepProcess = {
    argv: command.argv,
    env: [...scope.processEnv, ...mounted.flatMap((m) => m.env)],
    user: state.config.user,
    workingDir,
    network,
    mounts: [...mounted.flatMap((m) => m.step ?? []), ...script],
    onOutput: (data) => onEvent({ kind: 'output', step: view.step, data }),
    onContainer: (id) => void onEvent({ kind: 'container', step: view.step, id }),
  };
  const make = (own: Ctx): ReturnType<Parameters<typeof cachedLayer>[0]['make']> =>
    slots.use(async () => {
      await using root = await worker.root(view.layers, own);
      const code = await root.run(process, own).catch((e: unknown) => Promise.reject(foreign(e, view)));
      own.signal.throwIfAborted();
      if (code !== 0) throw new CommandFailed(i.lines, command.argv.join(' '), code);
      return await root.commit({ latestMs }, own);
    }, own);
  const result = await cachedLayer({ key, title: i.original.trim(), make }, view, c);
  return { result, history: historyOf(scope.argsInEffect, command.argv) };
}

/** A kernel that cannot run the program says too little. */
function foreign(e: unknown, view: StageView): unknown {
  const { buildPlatform } = view.build.options;
  if (isSamePlatform(view.platform, buildPlatform) || !/exec format error/i.test(messageOf(e))) return e;
  const [stage, own] = [platformText(view.platform), platformText(buildPlatform)];
  return new StatusError(
    'Invalid',
    `this machine (${own}) runs no programs for ${stage}: install handlers for it (Debian: qemu-user-static), or run this in a stage FROM --platform=$BUILDPLATFORM`,
    { cause: e },
  );
}

/** `RUN |1 V=2 /bin/sh -c x # buildkit`: the form that tools know. */
function historyOf(args: readonly string[], argv: readonly string[]): string {
  const prefix = args.length === 0 ? '' : `|${args.length} ${args.join(' ')} `;
  return `RUN ${prefix}${argv.join(' ')} # buildkit`;
}

/** What a Dockerfile asks for beyond its sandbox, the caller of the build must have allowed. */
function allowed(i: RunInstruction, network: 'default' | 'none' | 'host'): 'default' | 'none' | 'host' {
  if (i.security === 'insecure') throw invalid('RUN --security=insecure is not allowed: builds run in their sandbox');
  if (i.network === 'host' && network !== 'host')
    throw invalid('RUN --network=host is not allowed: allow it with docker build --network=host');
  return i.network === 'default' ? network : i.network;
}

async function mountOf(
  text: string,
  { i, view, before }: { i: RunInstruction; view: StageView; before: readonly Mounted[] },
  c: Ctx,
): Promise<Mounted> {
  const m = at(i.lines, () => parseMount(text, (value) => view.scope.expand(value)));
  switch (m.type) {
    case 'tmpfs': {
      const target = targetOf(m, i, view);
      return { mount: m, content: '', env: [], step: { kind: 'tmpfs', target, sizeBytes: m.sizeBytes } };
    }
    case 'bind':
      return bindOf(m, i, view, c);
    case 'cache':
      return cacheOf(m, i, view, c);
    case 'secret':
      return secretOf(m, i, view);
    case 'ssh':
      return sshOf(m, i, view, before.filter(({ mount }) => mount.type === 'ssh').length);
  }
}

async function bindOf(m: RunMount, i: RunInstruction, view: StageView, c: Ctx): Promise<Mounted> {
  const target = targetOf(m, i, view);
  const { tree, chainId } = await treeOf(m, i, view);
  const source = await resolveIn(tree, clipped(m.source ?? ''), { last: true }, c);
  if ((await tree.stat(source, c)) === undefined)
    throw new DockerfileError(i.lines, `failed to calculate checksum: "/${clipped(m.source ?? '')}": not found`);
  const content = chainId === undefined ? await treeKey(tree, source, c) : `${chainId}/${source}`;
  return { mount: m, content, env: [], step: { kind: 'bind', target, tree, source, readOnly: m.readOnly } };
}

async function cacheOf(m: RunMount, i: RunInstruction, view: StageView, c: Ctx): Promise<Mounted> {
  const target = targetOf(m, i, view);
  const from = m.from === undefined ? undefined : await treeOf(m, i, view);
  const source = from && (await resolveIn(from.tree, clipped(m.source ?? ''), { last: true }, c));
  const step: StepMount = {
    kind: 'cache',
    target,
    id: m.id ?? target,
    sharing: m.sharing,
    readOnly: m.readOnly,
    mode: m.mode ?? 0o755,
    uid: m.uid ?? 0,
    gid: m.gid ?? 0,
    seed: from === undefined || source === undefined ? undefined : { tree: from.tree, source },
  };
  return { mount: m, content: '', env: [], step };
}

function secretOf(m: RunMount, i: RunInstruction, view: StageView): Mounted {
  const id = m.id ?? m.source ?? (m.target ?? '').replace(/^.*\//, '');
  const data = view.build.options.secrets.get(id);
  if (data === undefined) {
    if (m.required) throw new DockerfileError(i.lines, `secret ${id} is required, and was not handed to this build`);
    return { mount: m, content: '', env: [], step: undefined };
  }
  const env = m.env === undefined ? [] : [`${m.env === '' ? id : m.env}=${Buffer.from(data).toString()}`];
  if (m.target === undefined && m.env !== undefined) return { mount: m, content: '', env, step: undefined };
  const target = m.target === undefined ? `${SECRETS_FOLDER}/${id}` : targetOf(m, i, view);
  const step: StepMount = { kind: 'secret', target, data, mode: m.mode ?? 0o400, uid: m.uid ?? 0, gid: m.gid ?? 0 };
  return { mount: m, content: '', env, step };
}

function sshOf(m: RunMount, i: RunInstruction, view: StageView, number: number): Mounted {
  const id = m.id ?? 'default';
  const agent = view.build.options.agents?.get(id);
  if (agent === undefined) {
    if (m.required)
      throw new DockerfileError(i.lines, `no SSH agent ${id} was handed to this build: berth build --ssh ${id}`);
    return { mount: m, content: '', env: [], step: undefined };
  }
  const target = m.target === undefined ? `${AGENT_SOCKET}${number}` : targetOf(m, i, view);
  const isNamed = number > 0 || view.scope.processEnv.some((e) => e.startsWith('SSH_AUTH_SOCK='));
  const step: StepMount = { kind: 'ssh', target, agent, mode: m.mode ?? 0o600, uid: m.uid ?? 0, gid: m.gid ?? 0 };
  return { mount: m, content: '', env: isNamed ? [] : [`SSH_AUTH_SOCK=${target}`], step };
}

function scriptMount(script: { path: string; content: string }): StepMount {
  return { kind: 'secret', target: script.path, data: Buffer.from(script.content), mode: 0o755, uid: 0, gid: 0 };
}

/** A bind without `from` is of the context. */
async function treeOf(m: RunMount, i: RunInstruction, view: StageView) {
  if (m.from !== undefined) return view.build.source(m.from, i, view.planned.index);
  const { context } = view.build.options;
  if (context === undefined) throw new DockerfileError(i.lines, '--mount: this build was sent no context');
  return { tree: context, chainId: undefined };
}

function targetOf(m: RunMount, i: RunInstruction, view: StageView): string {
  return at(i.lines, () => {
    if (m.target === undefined || m.target === '') throw invalid(`--mount=type=${m.type}: a target is missing`);
    const target = workingDirOf(view.state.config, m.target);
    if (target === '/') throw invalid(`--mount=type=${m.type}: the target cannot be /`);
    return target;
  });
}

async function inOrder<A, B>(
  items: readonly A[],
  fn: (item: A, before: readonly B[]) => Promise<B>,
): Promise<readonly B[]> {
  const out: B[] = [];
  for (const item of items) out.push(await fn(item, out));
  return out;
}
