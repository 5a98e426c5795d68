/** A builder on real parts: a base image of busybox, a context, what a build printed. Needs root. */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type Ctx, realClock, realRandom, silentLogger } from '#lib/base';
import { localPlatform } from '#lib/oci';
import { FolderTree } from '../../agent/build/context/folder-tree.ts';
import { IgnoringTree } from '../../agent/build/context/ignoring-tree.ts';
import { IgnorePatterns } from '../../agent/build/context/patterns.ts';
import type { Builder, BuildRequest } from '../../agent/build/node/builder.ts';
import type { FinishedImage } from '../../agent/build/node/finish.ts';
import { type OwnBuilder, openOwnBuilder } from '../../agent/build/node/own-builder.ts';
import type { BuildEvent } from '../../agent/build/solve/progress.ts';
import { helperPath } from './runtime-host.ts';

export const context: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };

const APPLETS =
  'sh cat echo ls rm mkdir touch ln chmod chown id stat test sleep true false env mount wc grep find sync';

export const BASE = `FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox","sh","-c","for a in ${APPLETS}; do /bin/busybox ln -s busybox /bin/$a; done"]
COPY passwd group /etc/
CMD ["sh"]
`;

export class BuildHost implements AsyncDisposable {
  readonly folder: string;
  readonly context: string;
  readonly builder: Builder;
  readonly #opened: OwnBuilder;
  readonly instance: string;
  events: BuildEvent[] = [];

  private constructor(o: { folder: string; context: string; opened: OwnBuilder; instance: string }) {
    this.folder = o.folder;
    this.context = o.context;
    this.builder = o.opened.builder;
    this.#opened = o.opened;
    this.instance = o.instance;
  }

  static async open(o: { folder?: string; instance?: string } = {}): Promise<BuildHost> {
    const folder = o.folder ?? mkdtempSync(join(tmpdir(), 'berth-build-'));
    const files = join(folder, 'context');
    mkdirSync(files, { recursive: true });
    const instance = o.instance ?? `berth-test-${realRandom.hex(4)}`;
    const opened = await openOwnBuilder(
      {
        ...{ folder: join(folder, 'home'), instance, helperPath, runtime: 'auto' },
        registries: { certsFolder: join(folder, 'certs.d') },
        platform: localPlatform(),
        ...{ clock: realClock, random: realRandom, log: silentLogger },
      },
      context,
    );
    return new BuildHost({ folder, context: files, opened, instance });
  }

  file(name: string, text: string): void {
    mkdirSync(dirname(join(this.context, name)), { recursive: true });
    writeFileSync(join(this.context, name), text);
  }

  /** The image `base`, which other builds stand on. */
  async base(): Promise<FinishedImage> {
    copyFileSync('/bin/busybox', join(this.context, 'busybox'));
    this.file('passwd', 'root:x:0:0::/:/bin/sh\napp:x:1000:1001::/:/bin/sh\n');
    this.file('group', 'root:x:0:\napps:x:1001:\nmore:x:1002:app\n');
    return this.build(BASE, { tags: ['base'] });
  }

  async build(dockerfile: string, o: Partial<BuildRequest> & { ignored?: string } = {}, c = context) {
    this.events = [];
    const ignored = IgnorePatterns.parse(o.ignored ?? '');
    return this.builder.build(
      {
        ...{ dockerfile, target: '', buildArgs: new Map(), labels: {}, tags: [], noCache: false, pull: false },
        ...{ secrets: new Map(), network: 'default', latestMs: undefined, outputs: [] },
        context: new IgnoringTree(new FolderTree(this.context), ignored),
        onEvent: (e) => void this.events.push(e),
        ...o,
      },
      c,
    );
  }

  get outcomes(): string[] {
    return this.events.flatMap((e) => (e.kind === 'step-ends' ? [e.outcome] : []));
  }

  get printed(): string {
    return this.events.flatMap((e) => (e.kind === 'output' ? [e.data.toString()] : [])).join('');
  }

  async close(): Promise<void> {
    await this.#opened[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
    rmSync(this.folder, { recursive: true, force: true });
    rmSync(`/run/berth-runtime/${this.instance}-build`, { recursive: true, force: true });
  }
}
