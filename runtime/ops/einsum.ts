/** Sums of products over named axes (Einstein's notation). Source: ONNX Einsum; numpy.einsum. */
import type { Value } from '../compile/graph.ts';
import { elementCount } from '../engine/tensor.ts';
import type { Build, OperatorContext } from './context.ts';

/** A value whose axes have names, each once. */
interface Term {
  readonly value: Value;
  readonly labels: readonly string[];
}

interface Equation {
  readonly operands: readonly (readonly string[])[];
  readonly output: readonly string[];
}

/** The axes that an ellipsis stands for are named by their distance from its end, so that they broadcast from the right. */
function labelsOf(text: string, ellipsis: number): string[] {
  const spread = Array.from({ length: ellipsis }, (_, i) => `.${ellipsis - i}`);
  const [before = '', behind, ...more] = text.split('...');
  if (more.length > 0 || !/^[A-Za-z]*$/.test(before + (behind ?? '')))
    throw new Error(`attribute "equation": expected letters and at most one "..." a term, got "${text}"`);
  return behind === undefined ? [...before] : [...before, ...spread, ...behind];
}

function parse(equation: string, operands: readonly Value[]): Equation {
  const [left = '', right, ...more] = equation.replaceAll(' ', '').split('->');
  const terms = left.split(',');
  if (more.length > 0 || terms.length !== operands.length)
    throw new Error(`attribute "equation": expected one term for each of ${operands.length} inputs, got "${equation}"`);
  const ellipses = terms.map((term, i) => {
    const rank = operands[i]?.dims.length ?? 0;
    const named = term.replace('...', '').length;
    if (term.includes('...') ? named > rank : named !== rank)
      throw new Error(`attribute "equation": term "${term}" does not fit shape [${operands[i]?.dims.join(', ')}]`);
    return rank - named;
  });
  const labels = terms.map((term, i) => labelsOf(term, ellipses[i] as number));
  const widest = Math.max(...ellipses);
  if (right === undefined) return { operands: labels, output: implicitOutput(labels, widest) };
  const output = labelsOf(right, widest);
  const known = new Set(labels.flat());
  if (new Set(output).size !== output.length || !output.every((label) => known.has(label)))
    throw new Error(`attribute "equation": expected an output of different labels of the inputs, got "${right}"`);
  return { operands: labels, output };
}

/** Without an arrow: the ellipsis, and every letter that stands once, in alphabetical order. */
function implicitOutput(labels: readonly (readonly string[])[], widest: number): string[] {
  const all = labels.flat();
  const once = all.filter((label) => !label.startsWith('.') && all.indexOf(label) === all.lastIndexOf(label));
  return [...labelsOf('...', widest), ...once.sort()];
}

function order({ builder }: OperatorContext, { value, labels }: Term, wanted: readonly string[]): Value {
  return builder.transpose(
    value,
    wanted.map((label) => labels.indexOf(label)),
  );
}

/** Axes with the same name become their diagonal: of [..., n, n] as [..., n · n], every element n + 1 behind the last. */
function diagonal(node: OperatorContext, { value, labels }: Term): Term {
  const repeated = labels.find((label, axis) => labels.indexOf(label) !== axis);
  if (repeated === undefined) return { value, labels };
  const [first, second] = [labels.indexOf(repeated), labels.indexOf(repeated, labels.indexOf(repeated) + 1)];
  const others = labels.map((_, axis) => axis).filter((axis) => axis !== first && axis !== second);
  const size = value.dims[first] as number;
  if (value.dims[second] !== size)
    throw new Error(`expected axes "${repeated}" of one size, got shape [${value.dims.join(', ')}]`);
  const { builder } = node;
  const outer = others.map((axis) => value.dims[axis] as number);
  const flat = builder.reshape(builder.transpose(value, [...others, first, second]), [...outer, size * size]);
  const kept = builder.add(
    {
      kind: 'slice',
      starts: [...outer.map(() => 0), 0],
      steps: [...outer.map(() => 1), size + 1],
      sizes: [...outer, size],
    },
    [flat],
  );
  return diagonal(node, { value: kept, labels: [...others.map((axis) => labels[axis] as string), repeated] });
}

/** Without the axes that `drops` names, summed over. */
function sumOut({ builder }: OperatorContext, { value, labels }: Term, drops: (label: string) => boolean): Term {
  const axes = labels.flatMap((label, axis) => (drops(label) ? [axis] : []));
  if (axes.length === 0) return { value, labels };
  const dims = value.dims.filter((_, axis) => !axes.includes(axis));
  const kept = labels.filter((label) => !drops(label));
  return { value: builder.reshape(builder.reduce('sum', value, axes), dims), labels: kept };
}

/** Axes of size 1 where another operand has more: broadcasting gives them no say, so they go. */
function dropBroadcast({ builder }: OperatorContext, { value, labels }: Term, sizes: Map<string, number>): Term {
  const keeps = labels.map((label, axis) => value.dims[axis] === sizes.get(label));
  const wrong = labels.find((_, axis) => !keeps[axis] && value.dims[axis] !== 1);
  if (wrong !== undefined)
    throw new Error(`expected axes "${wrong}" of size ${sizes.get(wrong)}, got shape [${value.dims.join(', ')}]`);
  const dims = value.dims.filter((_, axis) => keeps[axis]);
  return { value: builder.reshape(value, dims), labels: labels.filter((_, axis) => keeps[axis]) };
}

/** One product of two terms: `kept` labels stay, the others that both have are summed over. */
function contract(node: OperatorContext, a: Term, b: Term, kept: ReadonlySet<string>): Term {
  const { builder } = node;
  const shared = a.labels.filter((label) => b.labels.includes(label));
  const batch = shared.filter((label) => kept.has(label));
  const summed = shared.filter((label) => !kept.has(label));
  const rows = a.labels.filter((label) => !shared.includes(label));
  const columns = b.labels.filter((label) => !shared.includes(label));
  const sizesOf = ({ value, labels }: Term, names: readonly string[]): number[] =>
    names.map((label) => value.dims[labels.indexOf(label)] as number);
  const [n, m] = [elementCount(sizesOf(a, batch)), elementCount(sizesOf(a, rows))];
  const [k, p] = [elementCount(sizesOf(a, summed)), elementCount(sizesOf(b, columns))];
  const left = builder.reshape(order(node, a, [...batch, ...rows, ...summed]), [n, m, k]);
  const right = builder.reshape(order(node, b, [...batch, ...columns, ...summed]), [n, p, k]);
  const dims = [...sizesOf(a, batch), ...sizesOf(a, rows), ...sizesOf(b, columns)];
  const product = summed.length === 0 ? outer(node, left, right) : builder.matMul(left, right, true);
  return { value: builder.reshape(product, dims), labels: [...batch, ...rows, ...columns] };
}

/** [n, m, 1] and [n, p, 1] → [n, m, p] */
function outer({ builder }: OperatorContext, a: Value, b: Value): Value {
  const [n = 0, p = 0] = b.dims;
  return builder.binary('mul', a, builder.reshape(b, [n, 1, p]));
}

export const einsum: Build = (node) => {
  const inputs = node.inputs.map((_, index) => node.input(index));
  const { operands, output } = parse(node.string('equation'), inputs);
  const sizes = new Map<string, number>();
  operands.forEach((labels, i) => {
    labels.forEach((label, axis) => {
      const [size, known] = [inputs[i]?.dims[axis] as number, sizes.get(label)];
      if (known === undefined || known === 1) sizes.set(label, size);
    });
  });
  const terms = operands.map((labels, i) =>
    dropBroadcast(node, diagonal(node, { value: inputs[i] as Value, labels }), sizes),
  );
  const [first, ...rest] = terms as [Term, ...Term[]];
  let result = first;
  rest.forEach((term, i) => {
    const later = new Set([...output, ...rest.slice(i + 1).flatMap(({ labels }) => labels)]);
    const needs = (other: Term) => (label: string) => !later.has(label) && !other.labels.includes(label);
    const [left, right] = [sumOut(node, result, needs(term)), sumOut(node, term, needs(result))];
    result = contract(node, left, right, later);
  });
  return order(
    node,
    sumOut(node, result, (label) => !output.includes(label)),
    output,
  );
};
