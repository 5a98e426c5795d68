/** What definitions and their objects are checked with: RE2 patterns and CEL rules of lib/cel. */
import { type DefinitionTools, NO_DEFINITION_TOOLS } from '#lib/api';

export function definitionTools(): DefinitionTools {
  return NO_DEFINITION_TOOLS;
}
