/** What the makers of certificates take and give. Keys are always P-256; PEM is what files and TLS options hold. */
export interface KeyPair {
  readonly certPem: string;
  /** PKCS#8. */
  readonly keyPem: string;
}

export interface CertificateRequest {
  readonly commonName: string;
  /** Groups, in Kubernetes' meaning (subject O). */
  readonly organizations?: readonly string[] | undefined;
  readonly dnsNames?: readonly string[] | undefined;
  readonly ipAddresses?: readonly string[] | undefined;
  readonly usages: readonly ('server' | 'client')[];
  readonly days: number;
}
