/** The passes, in the order in which they run. */
import type { ConstantKeys } from '../builder.ts';
import type { KernelGraph } from '../graph.ts';

/** A graph that gives the same outputs, with less work. */
export type Pass = (graph: KernelGraph, keys: ConstantKeys) => KernelGraph;

export const passes: readonly Pass[] = [];
