/** What an operation of the kernel graph is called and how much it does, for explanations and profiles. */
import { elementCount } from '../engine/tensor.ts';
import type { Node, Value } from './graph.ts';
import { bytesOf } from './plan.ts';

/** `conv + silu`: the operation, with what was fused behind it. */
export function operationName({ operation, inputs }: Node): string {
  const name = 'name' in operation ? operation.name : operation.kind;
  const residual = (operation.kind === 'conv' || operation.kind === 'matMul') && inputs[3] ? ' + add' : '';
  const activation = 'activation' in operation && operation.activation ? ` + ${operation.activation.kind}` : '';
  return operation.kind === 'reduce' ? `reduce ${name}` : name + residual + activation;
}

/** Products that are summed, as the definition has them: Winograd's convolutions make do with fewer. 0 where nothing is multiplied and summed. */
export function multiplyAddsOf({ operation, inputs, outputs }: Node): number {
  const [x, weights, third] = inputs as [Value, Value, Value];
  const results = elementCount(outputs[0]?.dims ?? []);
  switch (operation.kind) {
    case 'conv':
    case 'convInteger':
    case 'convQuantized':
      return results * elementCount(weights.dims.slice(1));
    case 'convTranspose':
      return elementCount(x.dims) * elementCount(weights.dims.slice(1));
    case 'matMul':
    case 'matMulBlocks':
    case 'matMulInteger':
      return results * (x.dims.at(-1) as number);
    case 'attention': {
      const [rows, keys] = [elementCount(x.dims.slice(0, -1)), third.dims.at(-2) as number];
      return rows * keys * (x.dims.at(-1) as number) + results * keys;
    }
    case 'recurrent': {
      const [, hidden = 0] = weights.dims;
      const steps = results / Math.max(1, hidden);
      return steps * (elementCount(weights.dims) + (operation.name === 'gru' ? hidden ** 2 : 0));
    }
    default:
      return 0;
  }
}

/** Bytes of all that an operation reads and writes once, weights as the file has them. */
export function bytesMoved({ inputs, outputs }: Node): number {
  const read = new Set(inputs.filter((input) => input !== undefined));
  return [...read, ...outputs].reduce((sum, value) => sum + bytesOf(value), 0);
}
