/** Why a connection failed, in the words that Kubernetes' users search for. Source: Go's net and crypto/x509. */
import { messageOf } from '#lib/base';

const UNKNOWN_AUTHORITY = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]);
const VERIFY = 'tls: failed to verify certificate: x509:';

export function goDialText(e: unknown): string {
  const code = fieldOf(e, 'code');
  if (UNKNOWN_AUTHORITY.has(code)) return `${VERIFY} certificate signed by unknown authority`;
  switch (code) {
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return `${VERIFY} certificate is not valid for ${fieldOf(e, 'host')}`;
    case 'CERT_HAS_EXPIRED':
    case 'CERT_NOT_YET_VALID':
      return `${VERIFY} certificate has expired or is not yet valid`;
    case 'ECONNREFUSED':
      return `dial tcp ${addressOf(e)}: connect: connection refused`;
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `dial tcp: lookup ${fieldOf(e, 'hostname')}: no such host`;
    case 'ECONNRESET':
      return 'read: connection reset by peer';
    case 'UND_ERR_SOCKET':
      return 'EOF';
    default:
      return messageOf(e);
  }
}

function addressOf(e: unknown): string {
  const first: unknown = e instanceof AggregateError ? e.errors[0] : e;
  return `${fieldOf(first, 'address')}:${fieldOf(first, 'port')}`;
}

function fieldOf(e: unknown, name: string): string {
  if (typeof e !== 'object' || e === null || !(name in e)) return '';
  return String(Reflect.get(e, name));
}
