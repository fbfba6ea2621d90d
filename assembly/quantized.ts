// Instructions from bytes to bytes, as instructions.ts.
import * as op from './opcodes.ts';
import { ByteDepthwise, ByteGather, ByteGemm, ConvShape, QuantizedDepthwise, QuantizedGather, QuantizedGemm, Rescaling } from './operands.ts';
import { depthwiseBytes } from './tensor/byte-depthwise.ts';
import { gemmBytes } from './tensor/byte-gemm.ts';
import { gatherBytes } from './tensor/byte-patches.ts';
import { gemmQuantized } from './tensor/quantized.ts';
import { depthwiseQuantized } from './tensor/quantized-depthwise.ts';
import { gatherQuantized } from './tensor/quantized-patches.ts';

export function runQuantizedGemm(operands: usize): i32 {
  gemmQuantized(changetype<QuantizedGemm>(operands), changetype<Rescaling>(operands));
  return op.OK;
}

export function runQuantizedGather(operands: usize): i32 {
  gatherQuantized(changetype<ConvShape>(operands), changetype<QuantizedGather>(operands));
  return op.OK;
}

export function runQuantizedDepthwise(operands: usize): i32 {
  const to = changetype<Rescaling>(operands + offsetof<QuantizedDepthwise>('low'));
  depthwiseQuantized(changetype<ConvShape>(operands), changetype<QuantizedDepthwise>(operands), to);
  return op.OK;
}

export function runByteGemm(operands: usize): i32 {
  gemmBytes(changetype<ByteGemm>(operands), changetype<Rescaling>(operands));
  return op.OK;
}

export function runByteGather(operands: usize): i32 {
  gatherBytes(changetype<ConvShape>(operands), changetype<ByteGather>(operands));
  return op.OK;
}

export function runByteDepthwise(operands: usize): i32 {
  const to = changetype<Rescaling>(operands + offsetof<ByteDepthwise>('low'));
  depthwiseBytes(changetype<ConvShape>(operands), changetype<ByteDepthwise>(operands), to);
  return op.OK;
}
