/** Named formats of Kubernetes (apiserver/pkg/cel/library/format.go): checks that say what is wrong with a text. */
import { OpaqueValue } from './value.ts';

export const FORMAT_TYPE = 'kubernetes.NamedFormat';

export class Format extends OpaqueValue {
  readonly typeName = FORMAT_TYPE;
  readonly name: string;
  /** For the price of a check. */
  readonly regexSizeMax: number;
  readonly violations: (text: string) => readonly string[];
  constructor(name: string, regexSizeMax: number, violations: (text: string) => readonly string[]) {
    super();
    this.name = name;
    this.regexSizeMax = regexSizeMax;
    this.violations = violations;
  }
  equals(other: OpaqueValue): boolean {
    return other instanceof Format && other.name === this.name;
  }
  override toString(): string {
    return this.name;
  }
}
