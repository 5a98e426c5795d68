/**
 * Variables of a build. ENV beats ARG of the same name, always. ARGs before the first FROM are for FROM alone, until a stage
 * declares them. Source: Dockerfile reference, "Scope" and "Predefined ARGs". Pure.
 */

import type { Platform } from '#lib/oci';
import { platformText } from '../../images/platform.ts';
import { invalid } from '../dockerfile/error.ts';
import { type EscapeToken, expandWord, expandWords } from '../dockerfile/words.ts';

/** Null: the client named it and has no value for it. */
export type BuildArgs = ReadonlyMap<string, string | null>;

/** Known to RUN without a declaration, and then neither in history nor in keys. */
const PROXIES: readonly string[] = ['http_proxy', 'https_proxy', 'ftp_proxy', 'no_proxy', 'all_proxy'].flatMap((n) => [
  n.toUpperCase(),
  n,
]);
/** All of Env: values of values double with each line. */
const ENV_CHARS_MAX = 1 << 20;

/** BUILDPLATFORM, TARGETARCH and their like. */
export function platformArgs(build: Platform, target: Platform, stage: string): ReadonlyMap<string, string> {
  const of = (prefix: string, p: Platform): [string, string][] => [
    [`${prefix}PLATFORM`, platformText(p)],
    [`${prefix}OS`, p.os],
    [`${prefix}OSVERSION`, ''],
    [`${prefix}ARCH`, p.architecture],
    [`${prefix}VARIANT`, p.variant ?? ''],
  ];
  return new Map([...of('BUILD', build), ...of('TARGET', target), ['TARGETSTAGE', stage === '' ? 'default' : stage]]);
}

/** The ARGs before the first FROM, in their order. */
export class GlobalScope {
  readonly #buildArgs: BuildArgs;
  readonly #platform: ReadonlyMap<string, string>;
  readonly #values = new Map<string, string>();
  readonly #escape: EscapeToken;

  constructor(o: { buildArgs: BuildArgs; platform: ReadonlyMap<string, string>; escape: EscapeToken }) {
    this.#buildArgs = o.buildArgs;
    this.#platform = o.platform;
    this.#escape = o.escape;
  }

  declare(key: string, value: string | undefined): void {
    const given = this.#buildArgs.get(key) ?? (value === undefined ? undefined : this.expand(value));
    if (given !== undefined) this.#values.set(key, given);
  }

  get(key: string): string | undefined {
    return this.#values.get(key) ?? this.#platform.get(key);
  }

  expand(text: string): string {
    return expandWord(text, (name) => this.get(name), { escape: this.#escape });
  }
}

/** What a stage has declared, given on to stages that stand on it. */
export interface DeclaredArgs {
  readonly values: ReadonlyMap<string, string | undefined>;
}

export class StageScope {
  readonly #globals: GlobalScope;
  readonly #buildArgs: BuildArgs;
  readonly #escape: EscapeToken;
  readonly #args: Map<string, string | undefined>;
  readonly #env = new Map<string, string>();

  constructor(o: {
    globals: GlobalScope;
    buildArgs: BuildArgs;
    escape: EscapeToken;
    /** Of the stage it stands on, when it is one of the file. */
    inherited?: DeclaredArgs | undefined;
    /** `NAME=value`, of the base. */
    env: readonly string[];
  }) {
    this.#globals = o.globals;
    this.#buildArgs = o.buildArgs;
    this.#escape = o.escape;
    this.#args = new Map(o.inherited?.values);
    for (const e of o.env) {
      const at = e.indexOf('=');
      this.#env.set(at < 0 ? e : e.slice(0, at), at < 0 ? '' : e.slice(at + 1));
    }
  }

  get declared(): DeclaredArgs {
    return { values: new Map(this.#args) };
  }

  /** `NAME=value` in the order of their first appearance. */
  get env(): readonly string[] {
    return [...this.#env].map(([k, v]) => `${k}=${v}`);
  }

  /** ARG: the client's value, else the default, else that of before the first FROM. */
  declareArg(key: string, value: string | undefined): void {
    const name = this.expand(key);
    const fallback = value === undefined ? this.#globals.get(name) : this.expand(value);
    this.#args.set(name, this.#buildArgs.get(name) ?? fallback);
  }

  /** ENV: all of one instruction see what was before it. */
  setEnv(pairs: readonly { readonly key: string; readonly value: string }[]): void {
    const expanded = pairs.map(({ key, value }) => [this.expand(key), this.expand(value)] as const);
    for (const [key, value] of expanded) {
      if (key === '') throw invalid('ENV names can not be blank');
      this.#env.set(key, value);
    }
    const chars = [...this.#env].reduce((sum, [k, v]) => sum + k.length + v.length, 0);
    if (chars > ENV_CHARS_MAX) throw invalid(`the environment has more than ${ENV_CHARS_MAX} characters`);
  }

  expand(text: string): string {
    return expandWord(text, (name) => this.#lookup(name), { escape: this.#escape });
  }

  /** Content of a here-document: variables alone, quotes are text. */
  expandText(text: string): string {
    return expandWord(text, (name) => this.#lookup(name), { escape: this.#escape, plainQuotes: true });
  }

  /** Split where a value holds blanks: EXPOSE, VOLUME. */
  expandWords(text: string): readonly string[] {
    return expandWords(text, (name) => this.#lookup(name), { escape: this.#escape });
  }

  /** In a RUN's key and history: sorted; ENV hides them. */
  get argsInEffect(): readonly string[] {
    return [...this.#args]
      .filter(([key, value]) => value !== undefined && !this.#env.has(key))
      .map(([key, value]) => `${key}=${value}`)
      .sort();
  }

  /** Of a RUN's process: Env, the ARGs in effect, and the client's proxies. */
  get processEnv(): readonly string[] {
    const proxies = PROXIES.flatMap((name) => {
      const value = this.#buildArgs.get(name);
      return typeof value === 'string' && !this.#args.has(name) && !this.#env.has(name) ? [`${name}=${value}`] : [];
    });
    return [...proxies, ...this.argsInEffect, ...this.env];
  }

  #lookup(name: string): string | undefined {
    return this.#env.get(name) ?? this.#args.get(name);
  }
}
