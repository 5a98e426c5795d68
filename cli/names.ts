/** What may stand for an instance, a node, and the folder of its state; looked at before anything is made with them. */

export const INSTANCE_TEXT = 'one to eight lower-case letters and digits, a letter first (it names links)';

export function isInstance(text: string): boolean {
  return /^[a-z][a-z0-9]{0,7}$/.test(text);
}

/** Paths below it are arguments of mounts, of `ip` and of systemd, which give blanks and some signs a meaning of their own. */
const HOME = /^\/[A-Za-z0-9._/@+=-]*$/;
/** The longest path below it (a pod's volume) and a container's image layers must fit into what the kernel takes. */
const HOME_BYTES_MAX = 128;

/** What is wrong with a folder for state; undefined when nothing is. */
export function homeMistake(home: string): string | undefined {
  if (!home.startsWith('/')) return `${home}: an absolute path`;
  if (!HOME.test(home)) return `${home}: only letters, digits and . _ - @ + = in its name, no blanks`;
  if (home.length > HOME_BYTES_MAX) return `${home}: at most ${HOME_BYTES_MAX} characters`;
  return undefined;
}

/** As names of Node objects are (DNS-1123 subdomain). */
export function isNodeName(text: string): boolean {
  return text.length <= 253 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(text);
}
