/**
 * The one place that knows pino. Constant message, variable fields; standard keys: kind namespace name uid node revision
 * traceId durationMs err. error = a person must act; warn = odd but healed; info = state changed; debug = per reconcile.
 */
import pino from 'pino';

export interface Logger {
  error(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  info(fields: object, message: string): void;
  debug(fields: object, message: string): void;
  child(fields: object): Logger;
}

/** JSON lines to fd 1 (or `fd`), flushed in 4 KiB pieces and at exit. */
export function createLogger(o: { component: string; level?: string | undefined; fd?: number | undefined }): Logger {
  const destination = pino.destination({ dest: o.fd ?? 1, sync: true });
  return pino(
    {
      level: o.level ?? 'info',
      base: { component: o.component, pid: process.pid },
      serializers: { err: pino.stdSerializers.err },
    },
    destination,
  );
}

const drop = (): undefined => undefined;
/** For tests and for code that must stay silent. */
export const silentLogger: Logger = { error: drop, warn: drop, info: drop, debug: drop, child: () => silentLogger };
