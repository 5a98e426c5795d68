/** What a Dockerfile's instructions are, read but not yet expanded (words.ts) nor lowered (../lower). Types alone. */
import type { LineRange } from './error.ts';
import type { Heredoc } from './heredoc.ts';

interface Common {
  /** As written, joined, without here-documents: for history and messages. */
  readonly original: string;
  readonly lines: LineRange;
}

/** Of RUN, CMD, ENTRYPOINT. */
export interface CommandLine {
  /** Exec form: the words; shell form: one text. */
  readonly words: readonly string[];
  /** Shell form: SHELL is put before it. */
  readonly isShell: boolean;
}

export interface KeyValue {
  readonly key: string;
  readonly value: string;
}

/** Content that stands in the Dockerfile, as a source of COPY or ADD. */
export interface InlineFile {
  readonly name: string;
  readonly content: string;
  readonly expand: boolean;
}

interface CopyCommon extends Common {
  /** Paths, patterns; of ADD also URLs. */
  readonly sources: readonly string[];
  readonly inline: readonly InlineFile[];
  readonly destination: string;
  readonly chown: string | undefined;
  readonly chmod: string | undefined;
  readonly link: boolean;
  readonly exclude: readonly string[];
  readonly parents: boolean;
}

export interface CopyInstruction extends CopyCommon {
  readonly kind: 'COPY';
  readonly from: string | undefined;
}

export interface AddInstruction extends CopyCommon {
  readonly kind: 'ADD';
  readonly checksum: string | undefined;
  readonly keepGitDir: boolean | undefined;
  /** Undefined: local archives are, downloaded ones are not. */
  readonly unpack: boolean | undefined;
}

export interface RunInstruction extends Common {
  readonly kind: 'RUN';
  readonly command: CommandLine;
  readonly heredocs: readonly Heredoc[];
  /** Values of --mount: mount.ts reads them, after their variables were put in. */
  readonly mounts: readonly string[];
  readonly network: 'default' | 'none' | 'host';
  readonly security: 'sandbox' | 'insecure';
}

/** Durations in ms; 0: the default of who runs it. */
export interface Healthcheck {
  /** ['NONE'] | ['CMD', …] | ['CMD-SHELL', text] */
  readonly test: readonly string[];
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly startPeriodMs: number;
  readonly startIntervalMs: number;
  readonly retries: number;
}

export type BuildInstruction =
  | CopyInstruction
  | AddInstruction
  | RunInstruction
  | (Common & {
      readonly kind: 'ARG';
      readonly args: readonly { readonly key: string; readonly value: string | undefined }[];
    })
  | (Common & { readonly kind: 'ENV' | 'LABEL'; readonly pairs: readonly KeyValue[] })
  | (Common & { readonly kind: 'CMD' | 'ENTRYPOINT'; readonly command: CommandLine })
  | (Common & { readonly kind: 'EXPOSE' | 'VOLUME'; readonly words: readonly string[] })
  | (Common & { readonly kind: 'USER' | 'STOPSIGNAL' | 'MAINTAINER'; readonly word: string })
  | (Common & { readonly kind: 'WORKDIR'; readonly word: string })
  | (Common & { readonly kind: 'SHELL'; readonly words: readonly string[] })
  | (Common & { readonly kind: 'HEALTHCHECK'; readonly check: Healthcheck })
  /** `trigger`: the instruction as it is written into the image, here-documents included. */
  | (Common & { readonly kind: 'ONBUILD'; readonly trigger: string });

export interface FromInstruction extends Common {
  readonly kind: 'FROM';
  /** Image, stage, or scratch. */
  readonly base: string;
  /** Lower case. */
  readonly name: string | undefined;
  readonly platform: string | undefined;
}
