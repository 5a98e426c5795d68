// Made by tools/generate-api.ts from the fact tables; do not edit.


export type UID = string;
