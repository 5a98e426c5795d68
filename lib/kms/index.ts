export { KmsSealer, type KmsSealerOptions } from './kms-sealer.ts';
export { connectKms, type KmsPlugin } from './plugin.ts';
export { KMS_RECORD_KEY, kmsRotationStep, runKmsRotations } from './rotation.ts';
