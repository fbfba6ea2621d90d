/** Bounds on what a graph may ask of the compiler. A graph beyond one of them is refused before anything is allocated for it. */

/** Offsets in one memory space have 30 bits (instructions.ts, Address). */
export const SPACE_BYTES_MAX = 2 ** 30;
/** Rank of a tensor that the kernels can walk. */
export const RANK_MAX = 8;
/** Kernel-level nodes of one program, loops unrolled. */
export const KERNEL_NODES_MAX = 50_000;
/** Instruction words of one program, 32 MiB of them. The largest of the demonstration's models has a quarter of a million. */
export const WORDS_MAX = 2 ** 23;
/** Products of matrices in one batch: each is multiplied by instructions of its own. */
export const MATRICES_MAX = 2 ** 18;
/** Rows or columns that a picture is resized to: a table holds where each comes from. */
export const RESIZED_MAX = 2 ** 20;
/** Positions along one axis, where an operator needs them as numbers (triangles, identity matrices, places of elements). */
export const POSITIONS_MAX = 2 ** 20;
/** Kernel-level nodes that a loop may become when it is built into a program. One that is larger runs its body again and again. */
export const UNROLLED_NODES_MAX = 10_000;
/** Rounds of a loop, or time steps, of which each becomes instructions of its own. */
export const TIME_STEPS_MAX = 4096;
/** Elements of a run-time input that a program may be specialised to: scalars and shapes, not data. */
export const SPECIALISED_ELEMENTS_MAX = 64;
/** The same for floats, which differ from run to run more often: factors for each axis, the numbers of a range. */
export const SPECIALISED_FLOATS_MAX = 8;
/** Constant results up to this size are computed at compile time, whatever the size of the operands. */
export const FOLDED_ELEMENTS_MAX = 4096;
/** Graphs inside graphs (If). */
export const SUBGRAPH_DEPTH_MAX = 16;
