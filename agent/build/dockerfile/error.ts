/** What is wrong with a Dockerfile, and where: clients show the lines around it. */
import { StatusError } from '#lib/base';

/** Lines of the file, from 1, both ends included. */
export interface LineRange {
  readonly start: number;
  readonly end: number;
}

export class DockerfileError extends StatusError {
  readonly lines: LineRange;

  constructor(lines: LineRange, message: string, cause?: unknown) {
    super('BadRequest', `dockerfile parse error on line ${lines.start}: ${message}`, { cause });
    this.lines = lines;
  }
}

/** What went wrong when it was done, not how it is written. */
export class StepFailed extends DockerfileError {
  constructor(lines: LineRange, message: string, cause?: unknown) {
    super(lines, message, cause);
    this.message = message;
  }
}

/** Runs `read`; what it throws is told with the lines. */
export function at<T>(lines: LineRange, read: () => T): T {
  try {
    return read();
  } catch (e) {
    if (e instanceof DockerfileError || !(e instanceof StatusError)) throw e;
    throw new DockerfileError(lines, e.message, e);
  }
}

export function invalid(message: string): StatusError {
  return new StatusError('Invalid', message);
}
