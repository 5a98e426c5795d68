/** A plugin's 403. Source: k8s.io/apiserver/pkg/admission/errors.go NewForbidden. */
import type { StatusError } from '#lib/base';
import { forbidden } from '../api-errors.ts';
import type { AdmissionRequest } from './chain.ts';

/** `pods "x" is forbidden: why`; before there is a name, the base of the name to come. */
export function refusal(request: AdmissionRequest, why: string): StatusError {
  const meta = request.object?.metadata;
  const name = request.name || meta?.name || meta?.generateName || 'Unknown';
  return forbidden(request.kind, name, why);
}

/** Several reasons as one text. Source: apimachinery/pkg/util/errors Aggregate. */
export function aggregateText(reasons: readonly string[]): string {
  const texts = [...new Set(reasons)];
  return texts.length === 1 ? (texts[0] ?? '') : `[${texts.join(', ')}]`;
}
