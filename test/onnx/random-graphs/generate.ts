/** Seed → random graph. */
import { Random } from '../../random.ts';
import { arranging } from './arranging.ts';
import { computing } from './computing.ts';
import { elementwise } from './elementwise.ts';
import type { RandomGraph } from './graph.ts';
import { Maker, type Recipes } from './maker.ts';
import { quantized } from './quantized.ts';
import { reducing } from './reducing.ts';

const recipes = { elementwise, arranging, reducing, computing, quantized } satisfies Record<string, Recipes>;

/** Families, as often as what networks are made of calls for. */
const families: readonly (keyof typeof recipes)[] = [
  ...(['elementwise', 'elementwise', 'elementwise', 'elementwise'] as const),
  ...(['arranging', 'arranging', 'arranging', 'reducing', 'reducing', 'computing', 'computing', 'quantized'] as const),
];

const NODES_MAX = 12;
/** Versions in which operators changed what they take as input and what as attribute. */
const opsets = [14, 17, 18, 21];

export function generate(seed: number): RandomGraph {
  const random = new Random(seed);
  const maker = new Maker(random, random.pick(opsets));
  const wanted = 1 + random.below(NODES_MAX);
  while (maker.nodes.length < wanted) {
    const family = random.pick(families);
    random.pick(Object.values(recipes[family]))(maker);
  }
  return maker.finish();
}
