/** How operators broadcast before opset 7: by attributes. */
import type { Build } from './context.ts';

/**
 * The same operator with its second input shaped so that numpy's rule does what "broadcast" and "axis" say: its axes
 * stand at those of the first input that begin with `axis`, by default the last ones.
 */
export function broadcastByAttributes(build: Build): Build {
  return (node) => {
    const [a, b] = [node.input(0), node.input(1)];
    const missing = a.dims.length - b.dims.length;
    const axis = node.int('axis', missing);
    if (!node.flag('broadcast') || axis === missing || axis < 0) return build(node);
    if (axis + b.dims.length > a.dims.length)
      throw new Error(`attribute "axis": expected [${b.dims}] to lie within [${a.dims}], got ${axis}`);
    const behind = new Array<number>(missing - axis).fill(1);
    return build(node.withInputs([a, node.builder.reshape(b, [...b.dims, ...behind])]));
  };
}

/** One slope a channel, whatever the number of axes behind it. */
export function slopePerChannel(build: Build): Build {
  return (node) => {
    const [x, slope] = [node.input(0), node.input(1)];
    if (slope.dims.length !== 1 || x.dims.length < 2) return build(node);
    const behind = new Array<number>(x.dims.length - 2).fill(1);
    return build(node.withInputs([x, node.builder.reshape(slope, [...slope.dims, ...behind])]));
  };
}
