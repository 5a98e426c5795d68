/** Bridges until lib/api has these (remove then). */
import * as api from '#lib/api';

function soon<T>(fn: () => T, fallback: T): T {
  try {
    return fn();
  } catch (e) {
    if (e instanceof Error && e.message.startsWith('not yet')) return fallback;
    throw e;
  }
}
export const trackUpdate: typeof api.trackUpdate = (...a) => soon(() => api.trackUpdate(...a), undefined);
