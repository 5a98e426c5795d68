/** The next step for an error, where there is one to tell; undefined where the message says enough. Pure. */
import { StatusError } from '#lib/base';

export function hintOf(e: unknown): string | undefined {
  if (!(e instanceof StatusError)) return undefined;
  switch (e.kind) {
    case 'Unavailable':
      return /ECONNREFUSED|ENOTFOUND|EHOSTUNREACH|ETIMEDOUT|ECONNRESET|timeout/i.test(chainOf(e))
        ? "The API server cannot be reached: 'berth status' tells what runs, 'berth up' starts the cluster."
        : undefined;
    case 'Unauthorized':
      // The API's own word; a join token that is refused says more by itself.
      return e.message === 'Unauthorized'
        ? 'The server does not know this user: see which kubeconfig is used (--kubeconfig, KUBECONFIG), or take $BERTH_HOME/kubeconfig.'
        : undefined;
    case 'Forbidden':
      return e.message.includes('User "')
        ? 'Ask as another user (--kubeconfig, --context), or have an administrator grant it.'
        : undefined;
    case 'Conflict':
      return e.reason === 'Conflict' && /conflict/i.test(e.message)
        ? 'Somebody else changed it meanwhile: try again.'
        : undefined;
    case 'NotFound':
      return namespaceHint(e);
    default:
      return undefined;
  }
}

function namespaceHint(e: StatusError): string | undefined {
  const { kind, name } = e.details;
  if (kind === 'namespaces' && name !== undefined)
    return `Create the namespace first (a manifest of kind Namespace), or choose another with -n; 'berth get namespaces' lists them.`;
  if (kind !== undefined && kind !== '' && name !== undefined && name !== '')
    return `'berth get ${kind} -A' lists what there is; -n NAME looks in another namespace.`;
  return undefined;
}

/** Messages of the error and of its causes: the code of a socket's error is in a cause. */
function chainOf(e: unknown): string {
  const texts: string[] = [];
  for (let x: unknown = e; x instanceof Error && texts.length < 8; x = x.cause)
    texts.push(x.message, String((x as NodeJS.ErrnoException).code ?? ''));
  return texts.join(' ');
}
