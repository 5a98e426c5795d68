/** The CPU policy that a node's settings ask for, at the agent's start. Source: pkg/kubelet/cm/cpumanager/cpu_manager.go. */
import { StatusError } from '#lib/base';
import { CpuManager, forgetCpuAssignments } from './cpu-manager.ts';
import { takeCpus } from './cpu-set.ts';
import { machineCpus } from './machine.ts';
import type { NodeSettings } from './node-settings.ts';

/** Undefined with the policy `none`. Throws Invalid when no CPU would be left for all that shares. */
export async function openCpuPolicy(
  path: string,
  settings: NodeSettings,
  reservedMilliCpu: number,
): Promise<CpuManager | undefined> {
  if (settings.cpuManagerPolicy === 'none') {
    await forgetCpuAssignments(path);
    return undefined;
  }
  const cpus = await machineCpus();
  const all = new Set(cpus.map((c) => c.id));
  const missing = settings.reservedSystemCPUs?.find((id) => !all.has(id));
  if (missing !== undefined) throw new StatusError('Invalid', `reservedSystemCPUs: CPU ${missing} is not online`);
  const reserved = settings.reservedSystemCPUs ?? takeCpus(cpus, all, Math.ceil(reservedMilliCpu / 1000));
  if (reserved === undefined || reserved.length === 0)
    throw new StatusError(
      'Invalid',
      'cpuManagerPolicy: the static policy requires systemReserved.cpu + kubeReserved.cpu, or reservedSystemCPUs, to be greater than zero',
    );
  return await CpuManager.open({ path, cpus, reserved });
}
