/** NonMaxSuppression in two steps (two-steps.ts): the boxes that are kept, then as many as there are. */
import { elementCount } from '../engine/tensor.ts';
import type { Build, OperatorContext } from './context.ts';

function outputsMax(node: OperatorContext): number {
  const [most = 0] = node.optionalIntegers(2) ?? [];
  return Math.max(0, Math.min(most, node.input(0).dims[1] ?? 0));
}

function threshold(node: OperatorContext, index: number, usual: number) {
  const { builder } = node;
  const given = node.optional(index);
  if (!given) return builder.scalar(usual);
  if (elementCount(given.dims) !== 1) throw new Error(`input ${index}: expected one number, got shape [${given.dims}]`);
  return builder.reshape(given, []);
}

/** As NonMaxSuppression → places, their number [1], and [classes, boxes] that places count in. */
export const findBoxes: Build = (node) => {
  const { builder } = node;
  const [boxes, scores] = [node.input(0), node.input(1)];
  const sizes = builder.literal('int64', [2], [scores.dims[1] ?? 0, scores.dims[2] ?? 0]);
  const operation = { kind: 'suppress', most: outputsMax(node), centred: node.flag('center_point_box') } as const;
  const thresholds = [threshold(node, 3, 0), threshold(node, 4, Number.NaN)];
  const [places, count] = builder.addAll(operation, [boxes, scores, ...thresholds]);
  if (!places || !count) throw new Error('assertion: two outputs');
  if (elementCount(places.dims) > 0) return [places, count, sizes];
  return [builder.literal('int32', [0], []), builder.literal('int32', [1], [0]), sizes];
};

/** Places [n], [classes, boxes] → [n, 3]: image, class and box of each. */
export const boxIndices: Build = (node) => {
  const { builder } = node;
  const places = builder.cast(node.input(0), 'int64');
  const [classes = 0, boxes = 0] = node.integers(1);
  const whole = (value: number) => builder.literal('int64', [], [Math.max(1, value)]);
  const pairs = builder.binary('div', places, whole(boxes));
  const columns = [
    builder.binary('div', pairs, whole(classes)),
    builder.binary('mod', pairs, whole(classes)),
    builder.binary('mod', places, whole(boxes)),
  ];
  const count = places.dims[0] as number;
  return builder.concat(
    columns.map((column) => builder.reshape(column, [count, 1])),
    1,
  );
};
