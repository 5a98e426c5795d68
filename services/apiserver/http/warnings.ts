/**
 * Warning headers of an answer. What they say is what clients sent, of any length and in any script: a header carries the bytes
 * of UTF-8, nothing that controls, and no more than clients take.
 * Source: k8s.io/apiserver/pkg/endpoints/filters/warning.go; k8s.io/apimachinery/pkg/util/net NewWarningHeader; RFC 7234 5.5.
 */
const TOTAL_MAX = 4_096;
/** Of each, when there are more than TOTAL_MAX characters of them together. */
const CUT_MAX = 256;

/** One value for each header. */
export function warningHeaders(texts: Iterable<string>): string[] {
  const all = [...texts].filter((text) => text !== '' && !CONTROL.test(text));
  const isCut = all.reduce((sum, text) => sum + text.length, 0) > TOTAL_MAX;
  const headers: string[] = [];
  let written = 0;
  for (const text of all) {
    if (written >= TOTAL_MAX) break;
    const told = isCut ? text.slice(0, CUT_MAX) : text;
    written += told.length;
    headers.push(`299 - "${bytesOf(told.replace(/[\\"]/g, '\\$&'))}"`);
  }
  return headers;
}

const CONTROL = /\p{Cc}/u;

/** A header is bytes to Node: one character each. */
function bytesOf(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}
