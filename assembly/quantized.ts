// Instructions from bytes to bytes, as instructions.ts.
import * as op from './opcodes.ts';
import { ConvShape, QuantizedDepthwise, QuantizedGather, QuantizedGemm, Rescaling } from './operands.ts';
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
