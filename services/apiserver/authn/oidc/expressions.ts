/**
 * CEL over the claims of a token (`claims`) and over the user that they make (`user`).
 * Source: k8s.io/apiserver/pkg/authentication/cel/{compile,mapper}.go.
 */
import {
  BOOL,
  compile,
  DYN,
  type Env,
  fromJson,
  kubernetesEnv,
  ListValue,
  mapOf,
  type Program,
  STRING,
  sameType,
  type Value,
} from '#lib/cel';
import { USER_INFO_TYPE } from '../user-info-type.ts';

const CLAIMS_TYPE = mapOf(STRING, DYN);
const TYPES = { claims: CLAIMS_TYPE, user: USER_INFO_TYPE } as const;

export type Subject = keyof typeof TYPES;

/** A mapping gives anything, a rule must give a bool. */
export type Result = 'any' | 'bool';

export class TokenExpression {
  readonly text: string;
  readonly #program: Program;
  readonly #subject: Subject;

  constructor(text: string, program: Program, subject: Subject) {
    this.text = text;
    this.#program = program;
    this.#subject = subject;
  }

  /** Of the subject, by name. */
  selects(field: string): boolean {
    return this.#program.selectedFields(this.#subject).has(field);
  }

  /** `subject` is JSON. Bounded by CEL's budgets: claims come from outside. */
  evaluate(subject: object): { readonly value: Evaluated } | { readonly error: string } {
    const outcome = this.#program.evaluate({ [this.#subject]: fromJson(subject, TYPES[this.#subject]) });
    if ('error' in outcome) return { error: `expression '${this.text}' resulted in error: ${outcome.error.message}` };
    return { value: evaluated(outcome.value) };
  }
}

/** What a user can be made of; undefined: something else, also within a list. */
export type Evaluated = string | boolean | null | undefined | readonly (string | undefined)[];

function evaluated(value: Value): Evaluated {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value;
  if (value instanceof ListValue) return [...value].map((item) => (typeof item === 'string' ? item : undefined));
  return undefined;
}

/** Compiles what belongs to one issuer. The environments are made on first use. */
export class TokenExpressions {
  readonly #environments = new Map<Subject, Env>();

  compile(text: string, subject: Subject, result: Result): TokenExpression | { readonly error: string } {
    const compiled = compile(text, this.#environment(subject));
    if ('errors' in compiled) return { error: `compilation failed: ${compiled.errors.text}` };
    const { program } = compiled;
    if (result === 'bool' && !sameType(program.resultType, BOOL)) return { error: 'must evaluate to bool' };
    return new TokenExpression(text, program, subject);
  }

  #environment(subject: Subject): Env {
    let env = this.#environments.get(subject);
    if (env === undefined) {
      const objectTypes = subject === 'user' ? [USER_INFO_TYPE] : [];
      env = kubernetesEnv().extend({ variables: { [subject]: TYPES[subject] }, objectTypes });
      this.#environments.set(subject, env);
    }
    return env;
  }
}
