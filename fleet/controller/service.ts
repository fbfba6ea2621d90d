/** What the controller can be asked to do. Commands call only this; the HTTP side and tests get the same object. */
import type { ValueDescription } from '../../runtime/engine/tensor.ts';
import type { Metrics, ReportedState, Request } from '../../runtime/protocol/messages.ts';
import type { Trigger } from '../../runtime/triggers/schema.ts';
import type { Rollouts } from '../rollouts/rollout-service.ts';
import type { Schedules } from '../tasks/schedule-service.ts';
import type { Tasks } from '../tasks/task-service.ts';
import type { FleetProblem } from './fleet-problem.ts';
import type { SettingsAdmin } from './settings-service.ts';
import type { SoftwareAdmin } from './software-service.ts';

export interface NodeView {
  readonly name: string;
  readonly online: boolean;
  readonly lastSeenAt: number | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly reported: ReportedState | null;
  readonly metrics: Metrics | null;
  readonly desiredVersion: number;
  /** Messages of it that did not fit their schema since the controller started, and what was wrong with the last; absent when none. */
  readonly refused?: { readonly count: number; readonly last: string };
}

export interface ModelView {
  readonly name: string;
  readonly version: number;
  /** The version that nodes get; of a model that is being rolled out, those that the rollout has not reached. */
  readonly released: number;
  readonly sha256: string;
  readonly bytes: number;
  readonly addedAt: number;
  /** Read from the file itself. */
  readonly inputs: readonly ValueDescription[];
  readonly outputs: readonly ValueDescription[];
  readonly opset: number;
  readonly operators: Readonly<Record<string, number>>;
  readonly producer: string;
  readonly labelCount: number;
  /** Triggers that name it. */
  readonly usedBy: readonly string[];
}

/** Which nodes a trigger goes to: by name, or by labels that must all match. Both absent: every node. */
export interface NodeSelector {
  readonly nodes?: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
  /** Of triggers only: on so many of them, which the controller chooses (placing.ts). */
  readonly replicas?: number;
}

export interface TriggerView {
  readonly trigger: Trigger;
  readonly selector: NodeSelector;
  readonly revision: number;
  readonly nodes: readonly { readonly node: string; readonly state: string; readonly error?: string }[];
}

export type InferRequest = Omit<Request, 'id' | 'expiresAt' | 'kind'>;

export interface LiveResult {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly at: number;
}

/** Every rejection is an Error whose message is fit for the person who asked. */
export interface ControllerService {
  nodes(): Promise<NodeView[]>;
  models(): Promise<ModelView[]>;
  /** All versions, newest first. */
  modelVersions(name: string): Promise<ModelView[]>;
  /**
   * Registers a blob that was uploaded before (`putBlob`) as the next version. The newest version's content again gives
   * that version; an earlier version's content becomes a new one. It is released, unless it is only to be registered.
   */
  addModel(name: string, sha256: string, labels?: readonly string[], registerOnly?: boolean): Promise<ModelView>;
  /** Refuses while a trigger names it. */
  removeModel(name: string): Promise<void>;
  triggers(): Promise<TriggerView[]>;
  /** Creates or replaces by name; refuses an unknown model. */
  putTrigger(trigger: Trigger, selector: NodeSelector): Promise<TriggerView>;
  removeTrigger(name: string): Promise<void>;
  /** Durable when it resolves. Content is checked against the hash. */
  putBlob(sha256: string, content: AsyncIterable<Uint8Array>): Promise<{ bytes: number }>;
  /** One-off inference on a named node. */
  infer(node: string, request: InferRequest, timeoutMs: number): Promise<unknown>;
  readonly tasks: Tasks;
  readonly schedules: Schedules;
  readonly rollouts: Rollouts;
  readonly settings: SettingsAdmin;
  readonly software: SoftwareAdmin;
  /** The fleet as a problem of placement, with where its triggers are now and why. */
  placement(): Promise<FleetProblem>;
  /** Results and errors as they pass, until the signal aborts. */
  watch(filter: string, onResult: (result: LiveResult) => void, signal: AbortSignal): Promise<void>;
}
