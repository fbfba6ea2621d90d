// Opcodes of the flat program: plain constants, so that AssemblyScript and TypeScript read the same file.
// An instruction is word 0 = opcode | (length in words << 8), then its operands. assembly/operands.ts names them in order.
export const END = 0;
export const GEMM = 1;
export const PACK_MATRIX = 2;
export const IM2COL = 3;
export const COL2IM = 4;
export const DEPTHWISE = 5;
export const POOL = 6;
export const UNARY = 7;
export const BINARY = 8;
export const COMPARE = 9;
export const WHERE = 10;
export const CAST = 11;
export const REDUCE = 12;
export const SOFTMAX = 13;
export const ARG_MAX = 14;
export const LAYER_NORM = 15;
export const COPY = 16;
export const FILL = 17;
export const GATHER = 18;
export const RESIZE_NEAREST = 19;
export const RESIZE_LINEAR = 20;
export const RECURRENT = 21;
export const QUANTIZE = 22;
export const REQUANTIZE = 23;
export const DEQUANTIZE = 24;
export const CENTER = 25;
export const GEMM_INTEGER = 26;
export const PACK_INTEGER = 27;
export const IM2COL_INTEGER = 28;
export const DEPTHWISE_INTEGER = 29;
export const WRAP_INDICES = 30;
export const SCATTER = 31;
export const CUMULATE = 32;
export const TOP_K = 33;
export const SAMPLE = 34;
export const ROI_ALIGN = 35;
export const DETERMINANT = 36;
export const WINOGRAD_INPUT = 37;
export const WINOGRAD_OUTPUT = 38;
export const UNIFORM = 39;
export const MAX_ROI_POOL = 40;
export const TREES = 41;
export const PRODUCT = 42;
export const LOOKUP = 43;
export const QUANTIZED_GEMM = 44;
export const QUANTIZED_GATHER = 45;
export const QUANTIZED_DEPTHWISE = 46;
export const SUPPRESS = 47;
export const BYTE_GEMM = 48;
export const BYTE_GATHER = 49;
export const BYTE_DEPTHWISE = 50;
export const CONV_ROWS = 51;
export const CONV_TRANSPOSE_ROWS = 52;
export const UNPACK_BLOCKS = 53;
/** The last of them. */
export const OPCODE_MAX = UNPACK_BLOCKS;
/** No kernel: what follows is cut into chunks that cores may share. A core alone passes over it and executes all of them. */
export const FORK = 240;
/** No kernel either: what makes a chunk independent of the one before. A core that has done that one passes over it. */
export const LEAD = 241;

/** What an instruction returns that did not fault. */
export const OK = -1;
/** What an instruction returns that is not done yet: it noted where it stands, and is to be called again. */
export const AGAIN = -2;

// Faults; `execute` returns -(2 + fault).
export const FAULT_OPCODE = 0;
export const FAULT_INDEX = 1;
/** A core that shared the run trapped. */
export const FAULT_TRAP = 2;
/** The run goes on in another section than the one that it was suspended in. */
export const FAULT_PLACE = 3;

// Kinds of UNARY, also of the activation behind GEMM and DEPTHWISE.
export const RELU = 0;
export const LEAKY_RELU = 1;
export const CLIP = 2;
export const SIGMOID = 3;
export const SILU = 4;
export const HARD_SIGMOID = 5;
export const HARD_SWISH = 6;
export const TANH = 7;
export const EXP = 8;
export const LOG = 9;
export const SQRT = 10;
export const RECIPROCAL = 11;
export const NEG = 12;
export const ABS = 13;
export const SIGN = 14;
export const FLOOR = 15;
export const CEIL = 16;
export const ROUND = 17;
export const ERF = 18;
export const GELU = 19;
export const GELU_TANH = 20;
export const SOFTPLUS = 21;
export const SOFTSIGN = 22;
export const ELU = 23;
export const SELU = 24;
export const SIN = 25;
export const COS = 26;
export const SCALE = 27;
export const SQUARE = 28;
export const ASIN = 29;
export const ACOS = 30;
export const ATAN = 31;
export const SINH = 32;
export const COSH = 33;
export const ASINH = 34;
export const ACOSH = 35;
export const ATANH = 36;
/** No activation behind GEMM or DEPTHWISE (or one that is a clip, which costs nothing there). */
export const IDENTITY = 37;

// Kinds of UNARY, BINARY, COMPARE, REDUCE and ARG_MAX carry the element type in the bits from 8 on.

// Kinds of BINARY. For float32 those up to PRELU are vectors.
export const ADD = 0;
export const SUB = 1;
export const MUL = 2;
export const DIV = 3;
export const POW = 4;
export const MIN = 5;
export const MAX = 6;
export const PRELU = 7;
export const MOD = 8;
export const FMOD = 9;
export const AND = 10;
export const OR = 11;
export const XOR = 12;
export const SHIFT_LEFT = 13;
export const SHIFT_RIGHT = 14;

// Kinds of COMPARE.
export const EQUAL = 0;
export const LESS = 1;
export const LESS_OR_EQUAL = 2;
export const GREATER = 3;
export const GREATER_OR_EQUAL = 4;

// Kinds of POOL.
export const POOL_MAX = 0;
export const POOL_AVERAGE = 1;
export const POOL_AVERAGE_PADDED = 2;

// Kinds of REDUCE.
export const REDUCE_SUM = 0;
export const REDUCE_MEAN = 1;
export const REDUCE_MAX = 2;
export const REDUCE_MIN = 3;
export const REDUCE_PROD = 4;
export const REDUCE_SUM_SQUARE = 5;
export const REDUCE_L1 = 6;
export const REDUCE_L2 = 7;

// Kinds of ARG_MAX, added up.
export const ARG_LEAST = 1;
export const ARG_LAST = 2;

// Element types.
export const FLOAT32 = 0;
export const INT32 = 1;
export const INT64 = 2;
export const UINT8 = 3;
export const INT8 = 4;
export const BOOL = 5;
export const INT16 = 6;
export const UINT16 = 7;
export const UINT32 = 8;
export const UINT64 = 9;
export const FLOAT64 = 10;
export const FLOAT16 = 11;
export const BFLOAT16 = 12;
// Of fewer than 16 bits: storage, one byte an element, that only casts can read.
export const FLOAT8E4M3FN = 13;
export const FLOAT8E4M3FNUZ = 14;
export const FLOAT8E5M2 = 15;
export const FLOAT8E5M2FNUZ = 16;
export const FLOAT8E8M0 = 17;
export const FLOAT4E2M1 = 18;
export const UINT4 = 19;
export const INT4 = 20;
export const UINT2 = 21;
export const INT2 = 22;

// What CAST does with numbers that an 8-bit float cannot hold; the two are added up. Rounding is of FLOAT8E8M0 only.
export const CAST_SATURATE = 1;
export const CAST_ROUND_UP = 0;
export const CAST_ROUND_DOWN = 2;
export const CAST_ROUND_NEAREST = 4;

// Kinds of SCATTER: what an update does to the element that lies there.
export const SCATTER_SET = 0;
export const SCATTER_ADD = 1;
export const SCATTER_MUL = 2;
export const SCATTER_MAX = 3;
export const SCATTER_MIN = 4;

// Kinds of CUMULATE, added up.
export const CUMULATE_PRODUCT = 1;
export const CUMULATE_EXCLUSIVE = 2;
export const CUMULATE_REVERSE = 4;

// Modes of SAMPLE, and what lies beyond the picture.
export const SAMPLE_NEAREST = 0;
export const SAMPLE_LINEAR = 1;
export const SAMPLE_CUBIC = 2;
export const BORDER_ZERO = 0;
export const BORDER_CLAMP = 1;
export const BORDER_REFLECT = 2;

// Kinds of RECURRENT. RESET_AFTER: the reset gate counts behind the state's product.
export const RECURRENT_LSTM = 0;
export const RECURRENT_GRU = 1;
export const RECURRENT_GRU_RESET_AFTER = 2;
export const RECURRENT_RNN = 3;

// What the product of bytes takes its operand x for on a machine (tensor/byte-dot.ts); none: it is not exact there, or not worth it.
export const BYTE_DOT_NONE = 0;
export const BYTE_DOT_UNSIGNED = 1;
export const BYTE_DOT_SIGNED = 2;

// How TREES joins the weights of the leaves, and kinds of its nodes, to which TREE_MISSING_PASSES may be added.
export const TREES_SUM = 0;
export const TREES_MIN = 1;
export const TREES_MAX = 2;
export const TREE_LEAF = 0;
export const TREE_LESS_OR_EQUAL = 1;
export const TREE_LESS = 2;
export const TREE_GREATER_OR_EQUAL = 3;
export const TREE_GREATER = 4;
export const TREE_EQUAL = 5;
export const TREE_NOT_EQUAL = 6;
export const TREE_MISSING_PASSES = 8;
