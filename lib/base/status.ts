/** An error as metav1.Status. Source: k8s.io/apimachinery/pkg/api/errors. */
import { ERROR_KINDS, type StatusError } from './errors.ts';

/** As the server sends it. */
export function statusOfError(e: StatusError): { code: number; status: object } {
  const code = ERROR_KINDS[e.kind].http;
  const details = Object.fromEntries(Object.entries(e.details).filter(([, v]) => v !== undefined && v !== ''));
  const status = {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message: e.message,
    reason: e.reason,
    ...(Object.keys(details).length === 0 ? {} : { details }),
    code,
  };
  return { code, status };
}
