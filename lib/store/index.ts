export { type EtcdOptions, EtcdStore } from './etcd.ts';
export type { EtcdEndpoints, EtcdTls } from './etcd-client.ts';
export * from './keys.ts';
export { Maintenance, type MaintenanceOptions } from './maintenance.ts';
export * from './memory.ts';
export * from './metered.ts';
export * from './store.ts';
export { indexOf, modRevisionOf } from './store-errors.ts';
