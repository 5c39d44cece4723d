export interface TlsIdentity {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}
