/** Additions and activations behind a convolution or matrix product become part of it: its results are touched once. */
import { elementCount } from '../../engine/tensor.ts';
import type { Builder } from '../builder.ts';
import type { Node, Value } from '../graph.ts';
import type { Activation } from '../instructions.ts';
import { sameDims } from '../strides.ts';
import { type Pass, rewrite, type Visit } from './rewrite.ts';

/** The activation of a unary operation, when the kernels can do it on the way out. */
function activationOf({ operation }: Node): Activation | undefined {
  if (operation.kind !== 'unary') return undefined;
  const { name, alpha = 0, beta = 0 } = operation;
  switch (name) {
    case 'relu':
      return { kind: 'clip', min: 0, max: Infinity };
    case 'clip':
      return { kind: 'clip', min: alpha, max: beta };
    case 'leakyRelu':
      return { kind: 'leakyRelu', alpha };
    case 'hardSigmoid':
    case 'hardSwish':
      return { kind: name, alpha, beta };
    case 'sigmoid':
    case 'silu':
    case 'tanh':
    case 'gelu':
    case 'geluTanh':
      return { kind: name };
    default:
      return undefined;
  }
}

/** The node that made a value, when it can still take something on. */
function openMaker(builder: Builder, value: Value | undefined): Node | undefined {
  const maker = builder.producerOf(value);
  const operation = maker?.operation;
  const takes = operation?.kind === 'conv' || operation?.kind === 'convTranspose' || operation?.kind === 'matMul';
  return takes && !operation.activation ? maker : undefined;
}

function takesResidual({ operation, inputs }: Node): boolean {
  if (inputs[3]) return false;
  if (operation.kind === 'conv') return true;
  return operation.kind === 'matMul' && elementCount((inputs[1] as Value).dims.slice(0, -2)) === 1;
}

function fuseAddition({ builder, node, inputs, isOnlyReader }: Visit): Value | undefined {
  if (node.operation.kind !== 'binary' || node.operation.name !== 'add') return undefined;
  const output = node.outputs[0] as Value;
  if (!inputs.every((value) => value && !value.constant && sameDims(value.dims, output.dims))) return undefined;
  const makers = [0, 1].map((index) => (isOnlyReader(index) ? openMaker(builder, inputs[index]) : undefined));
  // Of two convolutions the later one takes the other's result on: less has to wait in memory.
  const order = makers.map((maker) => (maker && takesResidual(maker) ? builder.nodes.indexOf(maker) : -1)) as [
    number,
    number,
  ];
  const chosen = order[0] > order[1] ? 0 : 1;
  const maker = makers[chosen];
  if (!maker || order[chosen] < 0) return undefined;
  const [x, weights, bias] = maker.inputs;
  builder.origin = maker.origin;
  return builder.add(maker.operation, [x, weights, bias, inputs[1 - chosen]]);
}

function fuse(visit: Visit): Value | undefined {
  const { builder, node, inputs, isOnlyReader } = visit;
  const activation = activationOf(node);
  const maker = activation && isOnlyReader(0) && openMaker(builder, inputs[0]);
  if (!maker) return fuseAddition(visit);
  const { operation } = maker;
  if (operation.kind !== 'conv' && operation.kind !== 'convTranspose' && operation.kind !== 'matMul') return undefined;
  // Nearly all of the work is the maker's, and a profile should say so.
  builder.origin = maker.origin;
  return builder.add({ ...operation, activation }, maker.inputs);
}

export const fuseEpilogues: Pass = (graph, keys) => rewrite(graph, keys, fuse);
