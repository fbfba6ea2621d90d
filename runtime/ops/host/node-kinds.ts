/** Which nodes are no matter of kernels, whatever their inputs are. */
import type { AttributeValue, GraphNode } from '../../onnx/graph.ts';

/** TensorProto.DataType STRING. */
const STRING = 8;

/** Attributes of LabelEncoder that may hold texts, in all its versions. Source: Operators-ml.md. */
const textTables = ['keys_strings', 'values_strings', 'classes_strings', 'keys_tensor', 'values_tensor'];

function isText(value: AttributeValue | undefined): boolean {
  if (Array.isArray(value)) return typeof value[0] === 'string';
  return typeof value === 'object' && 'type' in value && value.type === 'string';
}

/** Makes texts of numbers or of nothing. or has a table of them. Source: ONNX operator specifications, Cast, Constant and ConstantOfShape. */
export function isHostNode({ domain, operator, attributes }: GraphNode): boolean {
  if (domain === 'ai.onnx.ml')
    return operator === 'LabelEncoder' && textTables.some((name) => isText(attributes[name]));
  if (domain !== '') return false;
  const hasText = isText(attributes.value);
  switch (operator) {
    case 'Cast':
      return attributes.to === STRING;
    case 'Constant':
      return hasText || Object.hasOwn(attributes, 'value_string') || Object.hasOwn(attributes, 'value_strings');
    case 'ConstantOfShape':
      return hasText;
    default:
      return false;
  }
}

/** Has graphs inside that the runner can run in their turn. */
export function isControlFlow({ domain, operator }: GraphNode): boolean {
  return domain === '' && ['If', 'Loop', 'Scan', 'SequenceMap'].includes(operator);
}
