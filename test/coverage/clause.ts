/** One clause of what the node must do, and what shows it. */

/** With real containers; only by unit tests or a kernel that remembers; not at all. */
export type Kind = 'real' | 'unit' | 'none';

/** A file, and a piece of a title in it (of a test, a describe or a test.each) that is unique there. */
export interface Shown {
  file: string;
  title: string;
}

export interface Clause {
  clause: string;
  kind: Kind;
  /** Of another kind only what is said in `note`. */
  tests: readonly Shown[];
  /** What is not shown; for `none` the reason. */
  note?: string;
  /** Rows of Kubernetes' conformance list (sig-node, sig-storage) that are this behaviour, without their sig. */
  rows?: readonly string[];
}

/** A numbered line of the issue. */
export interface Line {
  title: string;
  clauses: readonly Clause[];
}

type More = Pick<Clause, 'note' | 'rows'>;
type Pair = readonly [file: string, title: string];

export function real(clause: string, tests: readonly Pair[], more: More = {}): Clause {
  return { clause, kind: 'real', tests: tests.map(shown), ...more };
}

export function unit(clause: string, tests: readonly Pair[], more: More = {}): Clause {
  return { clause, kind: 'unit', tests: tests.map(shown), ...more };
}

export function none(clause: string, note: string, more: Pick<Clause, 'rows'> = {}): Clause {
  return { clause, kind: 'none', tests: [], note, ...more };
}

function shown([file, title]: Pair): Shown {
  return { file, title };
}
