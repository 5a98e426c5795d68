export * from './client.ts';
export * from './discovery.ts';
export * from './handler.ts';
export * from './http.ts';
export * from './in-process.ts';
export * from './kubeconfig.ts';
export { jsonLines } from './lines.ts';
export { resourcePath, withQuery } from './paths.ts';
export { errorOfStatus, statusOfError } from './status.ts';
