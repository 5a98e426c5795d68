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
  /** Whether the key may also encrypt keys (RSA key exchange). Default false. */
  readonly keyEncipherment?: boolean | undefined;
  readonly usages: readonly ('server' | 'client')[];
  /** May be a fraction. */
  readonly days: number;
}
