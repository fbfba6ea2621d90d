/** Bounds on what a model file may ask for. A file beyond one of them is refused before anything is allocated for it. */

/** Protobuf's own limit for one message: lengths are signed 32-bit numbers in most writers. */
export const FILE_BYTES_MAX = 2 ** 31 - 1;
/** Bytes of one tensor's data, in the file or beside it. */
export const TENSOR_BYTES_MAX = 2 ** 31 - 1;
/** Decoded data of one tensor that is kept beside a file that is not in memory. */
export const KEPT_BYTES_MAX = 65_536;
/** What a sparse tensor of a few values may grow to. */
export const SPARSE_BYTES_MAX = 2 ** 28;
export const TENSOR_RANK_MAX = 32;
/** Nodes of the graph and all its subgraphs together. */
export const NODES_MAX = 100_000;
/** Functions that call each other. */
export const FUNCTION_DEPTH_MAX = 32;
/** Protobuf messages and texts of tensors in a file: a two-byte message costs some hundred bytes here, so their number is what bounds memory. */
export const MESSAGES_MAX = 2_000_000;
/** Fields of messages that are too large to be read at once, which are gone through one by one. */
export const FILE_HEADERS_MAX = 10_000_000;
/** Messages inside messages. A subgraph (node → attribute → graph) takes three levels. */
export const MESSAGE_DEPTH_MAX = 64;
export const NAME_LENGTH_MAX = 4096;
/** Characters that are kept of what a file says of the program that made it. */
export const PRODUCER_LENGTH_MAX = 200;
/** The newest IR version whose files this reader was checked against (onnx.proto3, enum Version). */
export const IR_VERSION_MAX = 13;
