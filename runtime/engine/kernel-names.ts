/** What people call the kernels, and the ways of computing that are made of several. */
import * as op from '../../assembly/opcodes.ts';

const names: ReadonlyMap<number, string> = new Map([
  [op.FORK, 'chunks that cores may share'],
  [op.LEAD, 'rows that another core has'],
  [op.GEMM, 'matrix product'],
  [op.PACK_MATRIX, 'pack matrix'],
  [op.IM2COL, 'gather patches'],
  [op.COL2IM, 'scatter patches'],
  [op.DEPTHWISE, 'depthwise'],
  [op.POOL, 'pool'],
  [op.UNARY, 'element-wise'],
  [op.BINARY, 'element-wise, two operands'],
  [op.COMPARE, 'compare'],
  [op.WHERE, 'where'],
  [op.CAST, 'cast'],
  [op.REDUCE, 'reduce'],
  [op.SOFTMAX, 'softmax'],
  [op.ARG_MAX, 'arg max'],
  [op.LAYER_NORM, 'layer norm'],
  [op.COPY, 'strided copy'],
  [op.FILL, 'fill'],
  [op.GATHER, 'gather'],
  [op.RESIZE_NEAREST, 'resize, nearest'],
  [op.RESIZE_LINEAR, 'resize, linear'],
  [op.RECURRENT, 'recurrent'],
  [op.QUANTIZE, 'quantize'],
  [op.REQUANTIZE, 'requantize'],
  [op.DEQUANTIZE, 'dequantize'],
  [op.CENTER, 'center'],
  [op.GEMM_INTEGER, 'integer matrix product'],
  [op.PACK_INTEGER, 'pack integer matrix'],
  [op.IM2COL_INTEGER, 'gather integer patches'],
  [op.DEPTHWISE_INTEGER, 'integer depthwise'],
  [op.WRAP_INDICES, 'wrap indices'],
  [op.SCATTER, 'scatter'],
  [op.CUMULATE, 'cumulate'],
  [op.TOP_K, 'top k'],
  [op.SAMPLE, 'sample'],
  [op.ROI_ALIGN, 'RoI align'],
  [op.DETERMINANT, 'determinant'],
  [op.WINOGRAD_INPUT, 'Winograd, input'],
  [op.WINOGRAD_OUTPUT, 'Winograd, output'],
  [op.UNIFORM, 'uniform'],
  [op.MAX_ROI_POOL, 'max RoI pool'],
  [op.TREES, 'trees'],
  [op.QUANTIZED_GATHER, 'gather 8-bit patches'],
  [op.PRODUCT, 'product of other types'],
  [op.LOOKUP, 'lookup'],
  [op.SUPPRESS, 'non-maximum suppression'],
  [op.QUANTIZED_GEMM, '8-bit matrix product'],
  [op.QUANTIZED_DEPTHWISE, '8-bit depthwise'],
  [op.BYTE_GEMM, 'product of bytes'],
  [op.BYTE_GATHER, 'gather bytes'],
  [op.BYTE_DEPTHWISE, 'depthwise of bytes'],
  [op.UNPACK_BLOCKS, 'unpack 4-bit blocks'],
  [op.CONV_ROWS, 'convolution by rows'],
  [op.CONV_TRANSPOSE_ROWS, 'transposed convolution by rows'],
]);

export function kernelName(opcode: number): string {
  return names.get(opcode) ?? `kernel ${opcode}`;
}

/** How a node is computed, told by its kernels. The first line that fits holds. */
export function algorithmOf(operation: string, opcodes: ReadonlySet<number>): string {
  if (opcodes.has(op.WINOGRAD_INPUT)) return 'Winograd';
  if (opcodes.has(op.COL2IM)) return 'product, patches scattered';
  if (opcodes.has(op.IM2COL) || opcodes.has(op.IM2COL_INTEGER)) return 'patches, product';
  const products = opcodes.has(op.GEMM) || opcodes.has(op.GEMM_INTEGER);
  if (products && opcodes.has(op.SOFTMAX)) return 'product, softmax, product';
  if (products && (opcodes.has(op.PACK_MATRIX) || opcodes.has(op.PACK_INTEGER))) return 'product, packed in the run';
  if (products) return operation.startsWith('conv') ? 'pointwise' : 'product';
  return [...opcodes].map(kernelName).join(', ');
}
