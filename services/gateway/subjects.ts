/** The subjects of the certificates that the gateway tells its peers by. */

export const NODE_PREFIX = 'system:node:';
export const NODE_GROUP = 'system:nodes';
export const SERVER_PREFIX = 'system:berth-server:';
export const SERVER_GROUP = 'system:berth-servers';

/** Of the certificate that a server shows to the others. */
export function serverSubject(name: string): { commonName: string; organizations: string[] } {
  return { commonName: SERVER_PREFIX + name, organizations: [SERVER_GROUP] };
}
