/**
 * `npm run bench -- instructions`: how long the longest instruction of each model takes, by the cost model (compile/instruction-cost.ts) and
 * by the clock. A run that is to be set aside waits for the instruction that is under way, so this is what a more urgent one may wait.
 */
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { INSTRUCTION_US_MAX } from '../runtime/compile/element-cost.ts';
import type { Node } from '../runtime/compile/graph.ts';
import { instructionUs } from '../runtime/compile/instruction-cost.ts';
import { opcodeAt } from '../runtime/compile/instruction-words.ts';
import { operationName } from '../runtime/compile/work.ts';
import { kernelName } from '../runtime/engine/kernel-names.ts';
import { ProfiledModel } from '../runtime/engine/profile.ts';
import { type BenchCase, modelCases } from './cases/model-cases.ts';
import type { ModeOptions, ModeResult } from './modes.ts';

const quickCases = ['ppocr-cls'];
/** Each instruction's time is the least of so many runs: noise only adds. */
const RUNS = 3;
/** Shorter ones say more about the clock than about the estimate. */
const COMPARED_US = 10;
const BUDGET_MS = 2000;

interface Measured {
  readonly kernel: string;
  readonly node: string;
  readonly estimatedUs: number;
  measuredUs: number;
}

interface Outcome {
  readonly name: string;
  readonly instructions: readonly Measured[];
}

async function measure(each: BenchCase, runs: number): Promise<Outcome> {
  const { name, model: file, inputs } = await each.job();
  const programs = new Map<Uint32Array, Map<number, Measured>>();
  const instruction = (words: Uint32Array, word: number, ms: number, node: Node): void => {
    const own = programs.get(words) ?? new Map<number, Measured>();
    programs.set(words, own);
    const found = own.get(word);
    if (found) found.measuredUs = Math.min(found.measuredUs, ms * 1000);
    else
      own.set(word, {
        kernel: kernelName(opcodeAt(words, word)),
        node: `${node.origin} (${operationName(node)})`,
        estimatedUs: instructionUs(words, word),
        measuredUs: ms * 1000,
      });
  };
  const isFile = typeof file === 'string';
  const model = new ProfiledModel(isFile ? new Uint8Array(readFileSync(file)) : file, {
    ...{ name, folder: isFile ? dirname(file) : undefined, passes: 1 + runs, budgetMs: BUDGET_MS, instruction },
  });
  await model.run(inputs);
  return { name, instructions: [...programs.values()].flatMap((words) => [...words.values()]) };
}

function longest(instructions: readonly Measured[], figure: 'estimatedUs' | 'measuredUs'): Measured {
  return instructions.reduce((most, each) => (each[figure] > most[figure] ? each : most));
}

const us = (value: number): string => value.toFixed(0);

/** Measured over estimated, of what takes long enough to be compared, by kernel. */
function ratios(outcomes: readonly Outcome[]): string[][] {
  const byKernel = Map.groupBy(
    outcomes.flatMap(({ instructions }) => instructions).filter(({ measuredUs }) => measuredUs >= COMPARED_US),
    ({ kernel }) => kernel,
  );
  return [...byKernel].map(([kernel, all]) => {
    const sorted = all.map(({ measuredUs, estimatedUs }) => measuredUs / estimatedUs).toSorted((a, b) => a - b);
    const at = (share: number): string => (sorted[Math.floor(share * (sorted.length - 1))] as number).toFixed(2);
    return [kernel, String(all.length), at(0), at(0.5), at(0.95), at(1), us(longest(all, 'measuredUs').measuredUs)];
  });
}

export async function instructions({ quick, rounds, only = '', data }: ModeOptions): Promise<ModeResult> {
  const cases = modelCases(data).filter(({ name }) => name.includes(only) && (!quick || quickCases.includes(name)));
  const outcomes: Outcome[] = [];
  const notes: string[] = [];
  for (const each of cases)
    try {
      outcomes.push(await measure(each, quick ? 1 : RUNS * rounds));
    } catch (error) {
      notes.push(`${each.name}: ${(error as Error).message}`);
    }
  const rows = outcomes.map(({ name, instructions }) => {
    const [estimated, measured] = [longest(instructions, 'estimatedUs'), longest(instructions, 'measuredUs')];
    const figures = [us(estimated.estimatedUs), us(measured.measuredUs), us(measured.estimatedUs)];
    return [name, String(instructions.length), ...figures, `${measured.kernel}, ${measured.node}`];
  });
  const isAbove = ({ estimatedUs, measuredUs }: Measured): boolean =>
    Math.max(estimatedUs, measuredUs) > INSTRUCTION_US_MAX;
  for (const { name, instructions } of outcomes)
    for (const { kernel, node, estimatedUs, measuredUs } of instructions.filter(isAbove))
      notes.push(
        `above ${INSTRUCTION_US_MAX} µs: ${name}, ${kernel}, ${node}: ${us(estimatedUs)} estimated, ${us(measuredUs)} measured`,
      );
  const all = outcomes.flatMap(({ instructions }) => instructions);
  if (all.length === 0) return { tables: [], notes, lines: [], record: {} };
  const [estimated, measured] = [longest(all, 'estimatedUs'), longest(all, 'measuredUs')];
  const above = all.filter(({ measuredUs }) => measuredUs > INSTRUCTION_US_MAX).length;
  return {
    tables: [
      { header: ['µs', 'instructions', 'longest estimated', 'longest measured', 'its estimate', 'which'], rows },
      {
        header: ['measured / estimated', 'instructions', 'least', 'median', '95%', 'most', 'longest, µs'],
        rows: ratios(outcomes),
      },
    ],
    notes,
    lines: [
      `instructions: longest ${us(estimated.estimatedUs)} µs estimated, ${us(measured.measuredUs)} µs measured; ${above} of ${all.length} above ${INSTRUCTION_US_MAX} µs (${outcomes.length} models)`,
    ],
    record: {
      models: outcomes.map(({ name, instructions }) => ({
        name,
        instructions: instructions.length,
        estimatedUs: longest(instructions, 'estimatedUs').estimatedUs,
        measuredUs: longest(instructions, 'measuredUs').measuredUs,
      })),
    },
  };
}
