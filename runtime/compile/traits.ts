/** What programs are made for: it belongs to a build of the kernels on a machine, and no result depends on it but where that is said. */
export interface KernelTraits {
  /** Columns in a panel of a packed matrix that suit the build; a program made for either width runs on every build. */
  readonly panel: 8 | 16;
  /** What the product of bytes takes activations for; absent where it is not exact, so that bytes are multiplied as int16. */
  readonly byteDot?: ByteDot;
  /** Convolutions by their definition only, not by Winograd's algorithm, which is faster, rounds otherwise and takes more memory. */
  readonly direct?: boolean;
}

export type ByteDot = 'unsigned' | 'signed';

/** Names them in the names of files. */
export function traitsName({ panel, byteDot, direct }: KernelTraits): string {
  return [panel, byteDot, direct && 'direct'].filter(Boolean).join('-');
}
