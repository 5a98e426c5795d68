/** Where the OCI runtime keeps its own state: below /run, which a reboot empties, as it empties the kernel. */
export function runtimeStateFolder(instance: string): string {
  return `/run/berth-runtime/${instance}`;
}
