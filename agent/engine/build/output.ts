/**
 * What a build tells, as the classic builder's lines: stages one after the other in the order of the file, though they are built
 * side by side. What a later stage prints meanwhile is kept, up to a bound; the reader of the present one sets its pace.
 * Source: moby daemon/builder/dockerfile/{builder,dispatchers,containerbackend}.go (texts), pkg/streamformatter.
 */
import { StringDecoder } from 'node:string_decoder';
import type { BuildEvent, PlannedSteps, StepId } from '../../build/solve/progress.ts';
import type { PullStep } from '../../images/images.ts';

/** One line of the answer; what it gives back is waited for before more is printed. */
export type WriteLine = (line: object) => Promise<void> | undefined;

/** Of one stage whose turn has not come. Source of the text: buildkit util/progress/logs. */
const KEPT_CHARS_MAX = 2 << 20;
const CLIPPED = '[output clipped, log limit 2MiB reached]\n';

const PULL_TEXTS: Readonly<Record<PullStep['phase'], string>> = {
  exists: 'Already exists',
  waiting: 'Waiting',
  downloading: 'Downloading',
  downloaded: 'Download complete',
  extracting: 'Extracting',
  extracted: 'Pull complete',
};

interface StageLines {
  readonly planned: PlannedSteps;
  /** Number of its FROM among all steps. */
  readonly first: number;
  readonly kept: string[];
  keptChars: number;
  hasBegun: boolean;
  hasEnded: boolean;
  triggers: number;
  container: string;
  decoder: StringDecoder;
}

export class ClassicOutput {
  readonly #write: WriteLine;
  #stages: readonly StageLines[] = [];
  #args: readonly string[] = [];
  #total = 0;
  readonly #pulled = new Map<string, { readonly phase: PullStep['phase']; readonly tenth: number }>();
  /** Of #stages: whose turn it is. */
  #turn = 0;

  constructor(write: WriteLine) {
    this.#write = write;
  }

  on(e: BuildEvent): Promise<void> | undefined {
    switch (e.kind) {
      case 'planned':
        return this.#plan(e);
      case 'stage-begins':
        return this.#stageBegins(e);
      case 'stage-ends':
        return this.#stageEnds(e.stageIndex);
      case 'step-begins':
        return this.#say(e.step.stageIndex, this.#stepLine(e.step, e.title));
      case 'container':
        return this.#container(e.step, e.id);
      case 'output':
        return this.#say(e.step.stageIndex, this.#stage(e.step.stageIndex)?.decoder.write(e.data) ?? '');
      case 'step-ends':
        return this.#stepEnds(e);
      case 'warning':
        return this.#stream(`[Warning] ${e.line === undefined ? '' : `line ${e.line}: `}${e.message}\n`);
    }
  }

  /** Of a base that is not here yet. */
  readonly pull = ({ layer, phase, doneBytes: current, totalBytes: total }: PullStep): void => {
    const before = this.#pulled.get(layer);
    const tenth = Math.floor((current * 10) / Math.max(total, 1));
    // As often as a person can see it: a line for each tenth.
    if (before?.phase === phase && before.tenth === tenth) return;
    this.#pulled.set(layer, { phase, tenth });
    const progressDetail = phase === 'downloading' ? { current, total } : {};
    void this.#write({ status: PULL_TEXTS[phase], progressDetail, id: short(layer) });
  };

  /** `tags`: familiar. `buildArgs`: names that the client gave. */
  done(o: { id: string; tags: readonly string[]; buildArgs: Iterable<string> }): Promise<void> | undefined {
    void this.#flush();
    void this.#stream(` ---> ${short(o.id)}\n`);
    void this.#write({ aux: { ID: o.id } });
    const unused = [...o.buildArgs].filter((name) => !this.#args.includes(name) && !PREDEFINED.has(name)).sort();
    if (unused.length > 0)
      void this.#stream(`[Warning] One or more build-args [${unused.join(' ')}] were not consumed\n`);
    void this.#stream(`Successfully built ${short(o.id)}\n`);
    for (const tag of o.tags) void this.#stream(`Successfully tagged ${tag}\n`);
    return undefined;
  }

  /** What stages printed whose turn had not come: a failure is told after it. */
  failed(): Promise<void> | undefined {
    return this.#flush();
  }

  #plan(e: BuildEvent & { kind: 'planned' }): Promise<void> | undefined {
    this.#args = e.args;
    this.#total = e.globalArgs.length + e.stages.reduce((sum, s) => sum + s.steps + 1, 0);
    let first = e.globalArgs.length + 1;
    this.#stages = e.stages.map((planned) => {
      const stage = { planned, first, kept: [], keptChars: 0, hasBegun: false, hasEnded: false, triggers: 0 };
      first += planned.steps + 1;
      return { ...stage, container: '', decoder: new StringDecoder() };
    });
    for (const [n, text] of e.globalArgs.entries()) void this.#stream(`Step ${n + 1}/${this.#total} : ${text}\n`);
    return this.#from();
  }

  /** Told when its turn comes, before its base is there: pulling may take a while. */
  #from(): Promise<void> | undefined {
    const stage = this.#stages[this.#turn];
    return stage && this.#stream(`Step ${stage.first}/${this.#total} : ${stage.planned.from}\n`);
  }

  #stageBegins(e: BuildEvent & { kind: 'stage-begins' }): Promise<void> | undefined {
    const stage = this.#stage(e.stageIndex);
    if (stage === undefined) return undefined;
    stage.triggers = e.triggers;
    const triggers = e.triggers === 0 ? '' : `# Executing ${e.triggers} build trigger${e.triggers === 1 ? '' : 's'}\n`;
    return this.#say(e.stageIndex, ` ---> ${short(e.base)}\n${triggers}`);
  }

  #stageEnds(index: number): Promise<void> | undefined {
    const stage = this.#stage(index);
    if (stage !== undefined) stage.hasEnded = true;
    let last: Promise<void> | undefined;
    while (this.#stages[this.#turn]?.hasEnded === true && this.#turn + 1 < this.#stages.length) {
      this.#turn++;
      void this.#from();
      last = this.#print(this.#stages[this.#turn]);
    }
    return last;
  }

  #stepLine(step: StepId, title: string): string {
    const stage = this.#stage(step.stageIndex);
    if (stage === undefined || step.number <= stage.triggers) return '';
    return `Step ${stage.first + step.number - stage.triggers}/${this.#total} : ${title}\n`;
  }

  #container(step: StepId, id: string): Promise<void> | undefined {
    const stage = this.#stage(step.stageIndex);
    if (stage === undefined) return undefined;
    stage.container = id;
    return this.#say(step.stageIndex, ` ---> Running in ${short(id)}\n`);
  }

  #stepEnds(e: BuildEvent & { kind: 'step-ends' }): Promise<void> | undefined {
    const stage = this.#stage(e.step.stageIndex);
    if (stage === undefined) return undefined;
    const rest = stage.decoder.end();
    stage.decoder = new StringDecoder();
    const removed = stage.container === '' ? '' : ` ---> Removed intermediate container ${short(stage.container)}\n`;
    stage.container = '';
    if (e.outcome === 'failed') return this.#say(e.step.stageIndex, rest);
    // The image's id stands in the place of the last step's: `done` says it.
    const isLast = stage === this.#stages.at(-1) && e.step.number === e.step.total;
    const after = isLast ? '' : ` ---> ${short(e.chainId ?? '')}\n`;
    return this.#say(e.step.stageIndex, `${rest}${e.outcome === 'cached' ? ' ---> Using cache\n' : removed}${after}`);
  }

  #say(index: number, text: string): Promise<void> | undefined {
    const stage = this.#stage(index);
    if (stage === undefined || text === '') return undefined;
    if (stage === this.#stages[this.#turn]) return this.#stream(text);
    if (stage.keptChars > KEPT_CHARS_MAX) return undefined;
    stage.keptChars += text.length;
    stage.kept.push(stage.keptChars > KEPT_CHARS_MAX ? CLIPPED : text);
    return undefined;
  }

  #flush(): Promise<void> | undefined {
    let last: Promise<void> | undefined;
    for (this.#turn++; this.#turn < this.#stages.length; this.#turn++) {
      if (this.#stages[this.#turn]?.kept.length === 0) continue;
      void this.#from();
      last = this.#print(this.#stages[this.#turn]);
    }
    return last;
  }

  #print(stage: StageLines | undefined): Promise<void> | undefined {
    let last: Promise<void> | undefined;
    for (const text of stage?.kept.splice(0) ?? []) last = this.#stream(text);
    return last;
  }

  #stage(index: number): StageLines | undefined {
    return this.#stages.find((s) => s.planned.index === index);
  }

  #stream(text: string): Promise<void> | undefined {
    return this.#write({ stream: text });
  }
}

/** ARGs that need no ARG. Source: Dockerfile reference, "Predefined ARGs". */
const PREDEFINED: ReadonlySet<string> = new Set(
  ['HTTP_PROXY', 'HTTPS_PROXY', 'FTP_PROXY', 'NO_PROXY', 'ALL_PROXY'].flatMap((n) => [n, n.toLowerCase()]),
);

function short(id: string): string {
  return id.replace(/^sha256:/, '').slice(0, 12);
}
