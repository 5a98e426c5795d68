/** How deep a JSON text nests, before anything is made of it. One pass over the bytes; the text need not be valid. */
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPENING = new Set([0x5b, 0x7b]);
const CLOSING = new Set([0x5d, 0x7d]);

/** Objects nest some 30 deep, schemas in CRDs 100. What nests without an end would overflow the stack of whoever walks it. */
export const JSON_DEPTH_MAX = 1_000;

/** Counts brackets outside strings. */
export function isJsonWithinDepth(bytes: Uint8Array): boolean {
  let depth = 0;
  let isInString = false;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i] ?? 0;
    if (byte === BACKSLASH) i++;
    else if (byte === QUOTE) isInString = !isInString;
    else if (isInString) continue;
    else if (CLOSING.has(byte)) depth--;
    else if (OPENING.has(byte) && ++depth > JSON_DEPTH_MAX) return false;
  }
  return true;
}
