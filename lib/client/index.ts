export * from './client.ts';
export * from './discovery.ts';
export * from './handler.ts';
export * from './http.ts';
export * from './in-process.ts';
export * from './kubeconfig.ts';
export { errorOfStatus, statusOfError } from './status.ts';
