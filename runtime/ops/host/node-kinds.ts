/** Which nodes are no matter of kernels, whatever their inputs are. */
import type { GraphNode } from '../../onnx/graph.ts';

/** TensorProto.DataType STRING. */
const STRING = 8;

/** Makes texts of numbers or of nothing. Source: ONNX operator specifications, Cast, Constant and ConstantOfShape. */
export function isHostNode({ domain, operator, attributes }: GraphNode): boolean {
  if (domain !== '') return false;
  const { value } = attributes;
  const isText = typeof value === 'object' && 'type' in value && (value.type as string) === 'string';
  switch (operator) {
    case 'Cast':
      return attributes.to === STRING;
    case 'Constant':
      return isText || Object.hasOwn(attributes, 'value_string') || Object.hasOwn(attributes, 'value_strings');
    case 'ConstantOfShape':
      return isText;
    default:
      return false;
  }
}

/** Has graphs inside that the runner can run in their turn. */
export function isControlFlow({ domain, operator }: GraphNode): boolean {
  return domain === '' && ['If', 'Loop', 'Scan', 'SequenceMap'].includes(operator);
}
