export { caHash, certify, createCa, derOf, issue, type PkiDeps, pemOf, renewAt, subjectOf } from './certificates.ts';
export * from './join-token.ts';
export * from './jwk.ts';
export * from './jwt.ts';
export {
  createCsr,
  csrSubject,
  derOfPem,
  parseCsr,
  type RequestedNames,
  type SigningRequest,
  signCsr,
} from './requests.ts';
export * from './token-keys.ts';
export * from './types.ts';
