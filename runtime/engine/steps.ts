/** How a run that computes nothing itself gets its programs run. */
import type { Tensor } from './tensor.ts';

/** What a run asks for: the outputs of a program; or nothing, at places where it may end early. */
export type Request<Loaded> =
  | { readonly kind: 'run'; readonly program: Loaded; readonly inputs: Readonly<Record<string, Tensor>> }
  | { readonly kind: 'pause' };

/** Answered with the outputs of the program, by name. */
export type Steps<Loaded, Result> = Generator<Request<Loaded>, Result, Readonly<Record<string, Tensor>> | undefined>;
