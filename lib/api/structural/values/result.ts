/**
 * The outcome of validating a value: what is wrong with it, and how many checks passed (anyOf and oneOf report the failures of
 * the alternative that came nearest).
 * Source: k8s.io/kube-openapi/pkg/validation/validate/result.go; apiextensions-apiserver/pkg/apiserver/validation/validation.go
 * (kubeOpenAPIResultToFieldErrors).
 */
import type { FieldError, FieldErrorType } from '../../field-error.ts';
import { child } from '../schema.ts';

export interface Failure {
  readonly type: FieldErrorType;
  /** Path in the value; undefined when the failure names its place in its text only. */
  readonly path: string | undefined;
  readonly value?: unknown;
  readonly detail: string;
}

/** More failures of one object tell nobody anything; Kubernetes has no such bound. */
export const FAILURES_MAX = 1000;

/** What Kubernetes writes where a field path is missing. */
const NO_PATH = '<nil>';

export class Result {
  /** By what they say: the same failure found twice (by a schema and its allOf) is one. */
  private readonly byText = new Map<string, Failure>();
  matches = 0;

  get failures(): readonly Failure[] {
    return [...this.byText.values()];
  }

  get isValid(): boolean {
    return this.byText.size === 0;
  }

  add(...failures: readonly Failure[]): void {
    for (const f of failures) {
      if (this.byText.size >= FAILURES_MAX) return;
      const text = `${f.type} ${f.path ?? NO_PATH} ${f.detail}`;
      if (!this.byText.has(text)) this.byText.set(text, f);
    }
  }

  merge(other: Result): void {
    this.add(...other.byText.values());
    this.matches += other.matches;
  }

  /** Failures forgiven: the value is what it was before. */
  forgiven(): Result {
    const result = new Result();
    result.matches = this.matches;
    return result;
  }
}

/** `base` is the path of the value itself: '' for an object, `status`, the path of a default. */
export function fieldErrorOf(f: Failure, base: string): FieldError {
  const given = (f.path ?? '').replace(/^\./, '');
  const field = given === '' ? base : child(base, given);
  return {
    type: f.type,
    field: field === '' ? NO_PATH : field,
    ...(f.type === 'Required' || f.type === 'TooLong' ? {} : { value: f.value }),
    detail: f.detail,
  };
}
