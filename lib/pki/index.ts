export { caHash, certify, createCa, derOf, issue, type PkiDeps, pemOf, renewAt, subjectOf } from './certificates.ts';
export * from './join-token.ts';
export { createCsr, csrSubject, parseCsr, type SigningRequest, signCsr } from './requests.ts';
export * from './types.ts';
