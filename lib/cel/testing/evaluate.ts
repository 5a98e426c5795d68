/** For tests: one expression in, JSON or the words of its error out. */
import { type Bindings, compile, type Env, kubernetesEnv, type Outcome, type Program, toJson } from '../index.ts';

const base = kubernetesEnv();

export function programOf(text: string, env: Env = base): Program {
  const compiled = compile(text, env);
  if ('errors' in compiled) throw new Error(compiled.errors.text);
  return compiled.program;
}

export function outcomeOf(text: string, bindings: Bindings = {}, env: Env = base): Outcome {
  return programOf(text, env).evaluate(bindings);
}

/** The value as JSON, or `error: ...`, or `compile: ...` with the messages without positions. */
export function evaluated(text: string, bindings: Bindings = {}, env: Env = base): unknown {
  const compiled = compile(text, env);
  if ('errors' in compiled) return `compile: ${compiled.errors.issues.map((i) => i.message).join('; ')}`;
  const outcome = compiled.program.evaluate(bindings);
  return 'value' in outcome ? toJson(outcome.value) : `error: ${outcome.error.message}`;
}
