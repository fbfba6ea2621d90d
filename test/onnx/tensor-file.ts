/** Reads files that hold one TensorProto, as ONNX's conformance cases do: put into a model's Constant, whose reader is tested. */
import { PbfWriter } from 'pbf';
import type { Tensor } from '../../runtime/engine/tensor.ts';
import { readModel } from '../../runtime/onnx/read.ts';

/** Field numbers: onnx.proto3, ModelProto, GraphProto, NodeProto and AttributeProto. */
export function readTensorFile(bytes: Uint8Array): Tensor {
  const model = new PbfWriter();
  model.writeVarintField(1, 8);
  model.writeMessage(8, (_, opset) => opset.writeVarintField(2, 13), undefined);
  model.writeMessage(
    7,
    (_, graph) => graph.writeMessage(1, (__, node) => writeConstant(node, bytes), undefined),
    undefined,
  );
  const tensor = readModel(model.finish()).graph.nodes[0]?.attributes.value;
  if (typeof tensor !== 'object' || !('dims' in tensor)) throw new Error('expected a tensor file');
  return tensor;
}

function writeConstant(node: PbfWriter, bytes: Uint8Array): void {
  node.writeStringField(2, 'tensor');
  node.writeStringField(4, 'Constant');
  node.writeMessage(
    5,
    (_, attribute) => {
      attribute.writeStringField(1, 'value');
      attribute.writeBytesField(5, bytes);
      attribute.writeVarintField(20, 4);
    },
    undefined,
  );
}
