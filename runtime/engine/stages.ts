/**
 * Which stage of a graph comes next in a run. A graph is walked in stages: as many nodes as one program can hold, or one
 * node that is no matter of kernels. Stages depend on shapes, and on contents where shapes depend on them.
 */
import type { BatchLayout } from '../compile/batch-axes.ts';
import type { Known, Stage, StageRequest } from '../compile/compile.ts';
import { NeedsValueError } from '../compile/compile.ts';
import type { Value } from '../compile/graph.ts';
import { initializerValue } from '../compile/trace.ts';
import type { Graph } from '../onnx/graph.ts';
import { namesNeeded } from '../onnx/liveness.ts';
import type { Tensor } from './tensor.ts';
import { type EngineValue, isHostValue } from './value.ts';

/** What stands behind a name during a run. */
export interface Live {
  readonly value: EngineValue;
  /** Present when programs can hold it themselves, packed and shared. */
  readonly constant?: Value;
}

/** Names in sight during a run, own before outer. */
export interface Scope {
  readonly graph: Graph;
  readonly path: string;
  readonly depth: number;
  readonly values: Map<string, Live>;
  /** The values are those of several runs. */
  readonly batch?: BatchLayout;
  readonly outer?: Scope;
}

/** A stage that is not there yet. */
export interface Missing {
  readonly key: string;
  readonly place: string;
  readonly request: StageRequest;
}

/** Keeps stages, bounded. */
export interface StageStore<Loaded> {
  /** `place` begins the keys of all variants of a stage. */
  find(key: string): Stage<Loaded> | undefined;
  make(key: string, place: string, request: StageRequest): Stage<Loaded>;
}

export function lookUp(scope: Scope, name: string): Live {
  for (let level: Scope | undefined = scope; level; level = level.outer) {
    const live = level.values.get(name);
    if (live) return live;
    const initializer = level.graph.initializers.get(name);
    if (!initializer) continue;
    const constant = initializerValue(initializer, level.path, name);
    return constant === 'host' ? { value: initializer } : { value: initializer, constant };
  }
  throw new Error(`assertion: value "${name}" is not known; the reader checks names`);
}

/** Names that matter from one node on. What comes from initializers is the same at every run. */
interface Needs {
  readonly names: readonly string[];
  readonly variables: readonly string[];
  /** Those of the variables whose values decide the stage; found out while compiling. */
  readonly specialised: Set<string>;
}

function isVariable(scope: Scope, name: string): boolean {
  for (let level: Scope | undefined = scope; level; level = level.outer) {
    if (level.values.has(name)) return true;
    if (level.graph.initializers.has(name)) return false;
  }
  return true;
}

export class Stages<Loaded> {
  readonly #store: StageStore<Loaded>;
  readonly #needs = new WeakMap<Graph, Map<number, Needs>>();

  constructor(store: StageStore<Loaded>) {
    this.#store = store;
  }

  /** What `next` has to make. */
  missing(scope: Scope, start: number): Missing | undefined {
    const needs = this.#needsAt(scope, start);
    const place = placeOf(scope, start);
    const key = `${place} ${keyOf(scope, needs)}`;
    return this.#store.find(key) ? undefined : { key, place, request: this.#request(scope, start, needs) };
  }

  /** Names the stage that begins at node `start`; undefined when it depends on more than shapes. */
  keyByShapes(scope: Scope, start: number): string | undefined {
    const needs = this.#needsAt(scope, start);
    return needs.specialised.size > 0 ? undefined : `${placeOf(scope, start)} ${keyOf(scope, needs)}`;
  }

  /** Takes note that the stage depends on what these inputs hold. */
  specialise(scope: Scope, start: number, names: readonly string[]): void {
    const { specialised } = this.#needsAt(scope, start);
    for (const name of names) specialised.add(name);
  }

  /** The stage that begins at node `start`. */
  next(scope: Scope, start: number): Stage<Loaded> {
    const needs = this.#needsAt(scope, start);
    const place = placeOf(scope, start);
    for (;;) {
      const key = `${place} ${keyOf(scope, needs)}`;
      const stage = this.#store.find(key);
      if (stage) return stage;
      try {
        return this.#store.make(key, place, this.#request(scope, start, needs));
      } catch (error) {
        const found =
          error instanceof NeedsValueError ? error.inputs.filter((name) => !needs.specialised.has(name)) : [];
        if (found.length === 0) throw error;
        for (const name of found) needs.specialised.add(name);
      }
    }
  }

  /** Makes the first stage for shapes alone: their contents are not known yet, so that a NeedsValueError is thrown. */
  ahead(scope: Scope): void {
    const needs = this.#needsAt(scope, 0);
    const place = placeOf(scope, 0);
    this.#store.make(`${place} ${keyOf(scope, needs)}`, place, this.#request(scope, 0, needs));
  }

  /** Names that are used from node `start` on and not given there. */
  neededAt(scope: Scope, start: number): readonly string[] {
    return this.#needsAt(scope, start).names;
  }

  #needsAt(scope: Scope, start: number): Needs {
    const { graph } = scope;
    const all = this.#needs.get(graph) ?? new Map<number, Needs>();
    this.#needs.set(graph, all);
    let needs = all.get(start);
    if (!needs) {
      const names = [...namesNeeded(graph, start)];
      needs = { names, variables: names.filter((name) => isVariable(scope, name)), specialised: new Set() };
      all.set(start, needs);
    }
    return needs;
  }

  #request(scope: Scope, start: number, needs: Needs): StageRequest {
    const { graph, path, depth, batch } = scope;
    const known = new Map(
      needs.names.map((name): [string, Known] => {
        const { value, constant } = lookUp(scope, name);
        if (constant) return [name, { constant }];
        if (isHostValue(value)) return [name, 'host'];
        const { type, dims } = value;
        return [name, needs.specialised.has(name) ? { type, dims, value } : { type, dims }];
      }),
    );
    return { graph, start, path, depth, known, batch, neededAt: (end) => this.neededAt(scope, end) };
  }
}

/** Programs for several runs have a place of their own: they need not make room for those of one. */
function placeOf({ path, batch }: Scope, start: number): string {
  return `${path}#${start}${batch ? ' batch' : ''}`;
}

function keyOf(scope: Scope, { variables, specialised }: Needs): string {
  return variables
    .map((name) => {
      const { value, constant } = lookUp(scope, name);
      if (constant) return constant.constant?.key;
      if (isHostValue(value)) return value.type;
      return `${value.type} ${value.dims}${specialised.has(name) ? `=${contentsText(value)}` : ''}`;
    })
    .join(';');
}

/** Tells all contents apart, -0 and 0 among them. */
function contentsText({ data }: Tensor): string {
  return Array.from<number | bigint>(data as Iterable<number | bigint> & ArrayLike<number | bigint>)
    .map((item) => (Object.is(item, -0) ? '-0' : item))
    .join();
}
