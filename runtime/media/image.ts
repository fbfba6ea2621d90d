/** Pictures as the rest of the runtime sees them. */

/** Row-major pixels, 8 bits a channel: RGB (3) or grey (1). */
export interface Image {
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 3;
  readonly data: Uint8Array;
}
