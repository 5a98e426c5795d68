/**
 * Parser directives: `# name=value` in the very first lines. Any other line ends them, a directive nobody knows too.
 * Source: Dockerfile reference, "Parser directives". Pure.
 */
import { invalid } from './error.ts';
import type { EscapeToken } from './words.ts';

const NAMES = ['syntax', 'escape', 'check'] as const;
type Name = (typeof NAMES)[number];
const DIRECTIVE = /^#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(\S|\S.*\S)\s*$/;

export class Directives {
  readonly #values = new Map<Name, string>();
  #ended = false;

  get escapeToken(): EscapeToken {
    return this.#values.get('escape') === '`' ? '`' : '\\';
  }

  /** The image of a front end: known ones are ours, others are told of. */
  get syntax(): string | undefined {
    return this.#values.get('syntax');
  }

  /** True: the line was one. Throws Invalid for a second one of a name and for a bad value. */
  read(line: string): boolean {
    if (this.#ended) return false;
    const [, written = '', value = ''] = DIRECTIVE.exec(line) ?? [];
    const name = NAMES.find((n) => n === written.toLowerCase());
    if (name === undefined) {
      this.#ended = true;
      return false;
    }
    if (this.#values.has(name)) throw invalid(`only one ${name} parser directive can be used`);
    if (name === 'escape' && value !== '\\' && value !== '`')
      throw invalid(`invalid escape token '${value}' does not match \` or \\`);
    this.#values.set(name, value);
    return true;
  }
}
