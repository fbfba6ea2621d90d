/** What the machine of reconcile.ts knows, hears and asks for. */
import type { DesiredState } from '../protocol/messages.ts';
import type { RemoteFile } from '../store/download.ts';
import type { Trigger } from '../triggers/schema.ts';
import type { Form, Proofs, Served } from './proof.ts';

export type WantedModel = DesiredState['models'][number];

/** A desired state whose triggers were checked one by one: one that this node cannot read does not stop the others. */
export interface CheckedDesired extends DesiredState {
  readonly refused: readonly { readonly name: string; readonly error: string }[];
}

export type Event =
  /** Hashes of the blobs that are on disk, whole and in part; `local`: models and triggers from this node's own folders. */
  | {
      type: 'started';
      desired: CheckedDesired | null;
      present: string[];
      partial: string[];
      local: Pick<DesiredState, 'models' | 'triggers'>;
      proofs: Proofs;
      hold: string | null;
      /** The node's program is itself on trial: until it is proved nothing new is tried. */
      isOnTrial?: boolean;
    }
  | { type: 'programProved' }
  | { type: 'desired'; desired: CheckedDesired }
  /** Nothing that runs may be changed for the reason given, such as a vehicle in motion; null: it may again. */
  | { type: 'hold'; reason: string | null }
  | { type: 'downloaded'; sha256: string }
  | { type: 'downloadFailed'; sha256: string; error: string }
  /** The file on disk is damaged or gone. */
  | { type: 'blobLost'; sha256: string }
  | { type: 'loaded'; id: string; engine: 'llmasos' | 'onnxruntime'; fallbackReason?: string }
  | { type: 'loadFailed'; id: string; error: string }
  /** A run showed that a loaded model needs another engine (runtime/offload/load.ts). */
  | { type: 'engineChanged'; id: string; engine: 'llmasos' | 'onnxruntime'; fallbackReason?: string }
  | { type: 'triggerStarted'; name: string; key: string }
  | { type: 'triggerFailed'; name: string; key: string; error: string }
  | { type: 'trialFailed'; name: string; key: string; error: string }
  /** Time has passed; see `nextWake`. `served`: what each trigger has done since the process began. */
  | { type: 'tick'; served: ReadonlyMap<string, Served> };

export type Effect =
  | { type: 'saveDesired'; desired: CheckedDesired }
  | { type: 'saveProofs'; proofs: Proofs }
  | { type: 'saveHold'; hold: string | null }
  | { type: 'download'; files: string; file: RemoteFile }
  | { type: 'removeBlob'; sha256: string }
  | { type: 'load'; id: string; model: WantedModel }
  | { type: 'unload'; id: string }
  /** What was running at the end of this process's predecessor: messages for it may come before it is ready, and wait. */
  | { type: 'holdTrigger'; trigger: Trigger }
  /** Replaces a running trigger of that name once the new one is ready. `models`: model name to loaded id. */
  | { type: 'startTrigger'; key: string; trigger: Trigger; models: Record<string, string> }
  | { type: 'stopTrigger'; name: string }
  /** Runs a new form of a trigger beside the one that serves. */
  | { type: 'startTrial'; name: string; key: string; trigger: Trigger; models: Record<string, string> }
  | { type: 'stopTrial'; name: string }
  /** What `describe` returns has changed. */
  | { type: 'report' };

export interface BlobSlot {
  state: 'present' | 'downloading' | 'waiting';
  attempts: number;
  retryAt: number;
  error?: string;
}

interface ModelSlot {
  model: WantedModel;
  state: 'loading' | 'ready' | 'failed';
  error?: string;
  engine?: 'llmasos' | 'onnxruntime';
  fallbackReason?: string;
}

interface TriggerSlot {
  /** Messages were told to wait for it. */
  held?: boolean;
  running?: Form;
  starting?: Form;
  failed?: { key: string; error: string };
  /** The form that this process has begun to try. */
  tried?: string;
  /**
   * While the running form is provisional: since when, what had been served by the first look at it, and what speaks against
   * one that has no predecessor to go back to.
   */
  proving?: { key: string; sinceMs: number; lookAtMs: number; from?: Served; error?: string };
}

export interface TrialSlot {
  readonly id: string;
  readonly key: string;
  readonly error?: string;
  /** Since when it has run, until it has shown that the process outlives it. */
  readonly startedMs?: number;
  readonly isOn?: true;
}

export interface NodeState {
  name: string;
  desired: CheckedDesired | null;
  hold: string | null;
  isOnTrial: boolean;
  proofs: Proofs;
  /** Blobs of the desired state before this one: kept, so that going back is quick. */
  previousBlobs: string[];
  local: Pick<DesiredState, 'models' | 'triggers'>;
  blobs: Record<string, BlobSlot>;
  /** By `modelId`: several versions of one model may be there during a swap. */
  models: Record<string, ModelSlot>;
  triggers: Map<string, TriggerSlot>;
  /** By trigger: the new form that is to run beside it, or why it does not. */
  trials: Map<string, TrialSlot>;
  reached: number;
  described: string;
}

export function initialState(name: string): NodeState {
  return {
    name,
    desired: null,
    hold: null,
    isOnTrial: false,
    proofs: new Map(),
    previousBlobs: [],
    local: { models: [], triggers: [] },
    blobs: {},
    models: {},
    triggers: new Map(),
    trials: new Map(),
    reached: 0,
    described: '',
  };
}
