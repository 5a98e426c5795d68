/**
 * The door to regular expressions that users write. JavaScript's RegExp backtracks and can take exponential time, so it must
 * never see one: the engine behind this interface matches in time linear in the text (RE2, as Go's regexp).
 */
export interface Regex {
  /** True when the expression matches anywhere in `text`, as Go's MatchString. */
  test(text: string): boolean;
}

export interface RegexEngine {
  /** Never throws; `error` in the words of Go's regexp: "error parsing regexp: missing closing ): `(`". */
  compile(pattern: string): { readonly regex: Regex } | { readonly error: string };
}
