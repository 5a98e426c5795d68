/** What work costs, for tests: of this process, since wall time on a busy machine is mostly that of others. */

/** Processor time that the process has used, in milliseconds, its helper threads (collector, compiler) included. */
export function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}
