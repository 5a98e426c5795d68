/** Positions and messages in cel-go's form (common/error.go): `ERROR: <input>:1:6: text`, the line and a caret below it. */

export interface Issue {
  /** In UTF-16 units of the source. */
  readonly offset: number;
  readonly message: string;
}

const ISSUES_SHOWN_MAX = 100;

export function formatIssues(text: string, issues: readonly Issue[]): string {
  const sorted = [...issues].sort((a, b) => a.offset - b.offset);
  const shown = sorted.slice(0, ISSUES_SHOWN_MAX).map((i) => formatIssue(text, i));
  if (sorted.length > ISSUES_SHOWN_MAX) shown.push(`${sorted.length - ISSUES_SHOWN_MAX} more errors were truncated`);
  return shown.join('\n');
}

function formatIssue(text: string, issue: Issue): string {
  const offset = Math.min(Math.max(issue.offset, 0), text.length);
  const start = text.lastIndexOf('\n', offset - 1) + 1;
  const end = text.indexOf('\n', start);
  const line = text.slice(start, end === -1 ? text.length : end).replaceAll('\t', ' ');
  const lineNumber = text.slice(0, start).split('\n').length;
  const before = [...line.slice(0, offset - start)];
  const under = before.map((c) => ((c.codePointAt(0) ?? 0) > 0x7f ? '．' : '.')).join('');
  const at = line.codePointAt(offset - start) ?? 0;
  return `ERROR: <input>:${lineNumber}:${before.length + 1}: ${issue.message}\n | ${line}\n | ${under}${at > 0x7f ? '＾' : '^'}`;
}
