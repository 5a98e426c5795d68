/**
 * Fields given twice in a JSON body. JSON.parse keeps the last one silently; with fieldValidation Warn or Strict Kubernetes
 * reports them. One pass over the text, which must already have been accepted by JSON.parse.
 * Source: sigs.k8s.io/json (strict errors, `duplicate field "spec.x"`), at most 100 of them.
 */
const DUPLICATES_MAX = 100;
/** Of a path that is told: names may be megabytes long. */
const PATH_MAX = 1_024;

/** `duplicate field "spec.x"` for each field given twice, in order of appearance, each path once. */
export function findDuplicateFields(text: string): string[] {
  const scan = new Scan(text);
  scan.value();
  return [...scan.found].map((path) => `duplicate field "${path}"`);
}

class Scan {
  readonly found = new Set<string>();
  private readonly text: string;
  /** Names and indexes down to where it is. */
  private readonly path: (string | number)[] = [];
  private at = 0;

  constructor(text: string) {
    this.text = text;
  }

  value(): void {
    this.space();
    const c = this.text[this.at];
    if (c === '{') this.object();
    else if (c === '[') this.array();
    else if (c === '"') this.string();
    else this.skipWord();
  }

  private object(): void {
    const seen = new Set<string>();
    this.at++;
    for (;;) {
      this.space();
      if (this.text[this.at] !== '"') break;
      const key = this.string();
      this.path.push(key);
      if (seen.has(key) && this.found.size < DUPLICATES_MAX) this.found.add(this.pathText());
      seen.add(key);
      this.space();
      this.at++;
      this.value();
      this.path.pop();
      if (!this.comma()) break;
    }
    this.space();
    this.at++;
  }

  private array(): void {
    this.at++;
    this.space();
    if (this.text[this.at] !== ']') {
      let index = 0;
      do {
        this.path.push(index++);
        this.value();
        this.path.pop();
      } while (this.comma());
    }
    this.space();
    this.at++;
  }

  private pathText(): string {
    let text = '';
    for (const part of this.path) {
      if (typeof part === 'number') text += `[${part}]`;
      else text += text === '' ? part : `.${part}`;
      if (text.length > PATH_MAX) return text.slice(0, PATH_MAX);
    }
    return text;
  }

  private comma(): boolean {
    this.space();
    if (this.text[this.at] !== ',') return false;
    this.at++;
    return true;
  }

  private string(): string {
    const start = this.at++;
    while (this.at < this.text.length && this.text[this.at] !== '"') this.at += this.text[this.at] === '\\' ? 2 : 1;
    this.at++;
    return JSON.parse(this.text.slice(start, this.at)) as string;
  }

  private skipWord(): void {
    while (this.at < this.text.length && !',]} \n\r\t'.includes(this.text[this.at] ?? '')) this.at++;
  }

  private space(): void {
    while (' \n\r\t'.includes(this.text[this.at] ?? 'x')) this.at++;
  }
}
