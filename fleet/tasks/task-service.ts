/** What can be asked about tasks: checks what is asked, puts large inputs where nodes can fetch them, and shows what is known. */
import { compileExpression } from '../../runtime/triggers/expressions.ts';
import type { BlobStore } from '../controller/blob-store.ts';
import { placeInput } from '../controller/inputs.ts';
import { readModels } from '../controller/store.ts';
import { type Commit, type DeskPorts, TaskDesk } from './desk.ts';
import { countUnits, forgetEnded, readAwaited, readResults, readTask, readTasks, readUnits } from './store.ts';
import type { TaskSpec, TaskState } from './task.ts';
import { type TaskDetail, type TaskView, taskDetail, taskView } from './view.ts';

/** A larger input becomes a blob: assignments of many units share a message. */
const INLINE_BASE64_MAX = 16_000;
const UNITS_SHOWN = 1_000;
const KEPT_MS = 30 * 86_400_000;

/** Every rejection is an Error whose message is fit for the person who asked. */
export interface Tasks {
  /** On the disk when it resolves. The same id and content again is the task that is there. */
  add(spec: TaskSpec): Promise<TaskView>;
  /** The newest thousand, or of those in one state. */
  list(state?: TaskState): Promise<TaskView[]>;
  show(id: string, withResults: boolean): Promise<TaskDetail>;
  /** Asks its units to end; one that has ended stays as it is. */
  cancel(id: string): Promise<TaskView>;
}

export interface TaskServicePorts extends DeskPorts {
  /** Of a version's list of files. Rejects with the versions that there are. */
  softwareHash(version: string): Promise<string>;
  /** From now on these nodes are to have it; `also` is committed with that. */
  giveSoftware(selector: TaskSpec['selector'], version: string, also: Parameters<Commit>[0]): Promise<void>;
}

export class TaskService implements Tasks {
  readonly desk: TaskDesk;
  readonly #ports: TaskServicePorts;
  readonly #blobs: BlobStore;

  private constructor(ports: TaskServicePorts, blobs: BlobStore, desk: TaskDesk) {
    this.#ports = ports;
    this.#blobs = blobs;
    this.desk = desk;
  }

  static async open(ports: TaskServicePorts, blobs: BlobStore): Promise<TaskService> {
    return new TaskService(ports, blobs, await TaskDesk.open(ports));
  }

  async add(spec: TaskSpec): Promise<TaskView> {
    const checked = await this.check(spec);
    const { work, selector } = checked;
    if (work.kind !== 'update') return taskView(await this.desk.add(checked));
    // A task without the version would wait for it, a version without the task would come unasked.
    return taskView(await this.desk.add(checked, (save) => this.#ports.giveSoftware(selector, work.version, save)));
  }

  /** The task with its large inputs as blobs. Rejects with what is wrong with it. */
  async check<Spec extends Pick<TaskSpec, 'work'>>(spec: Spec): Promise<Spec> {
    const { work } = spec;
    if (work.kind === 'command') return spec;
    if (work.kind === 'update')
      return { ...spec, work: { ...work, sha256: await this.#ports.softwareHash(work.version) } };
    if (work.reduce !== undefined) compileExpression(work.reduce, ['results']);
    await this.#checkModel(work.model);
    const inputs: typeof work.inputs = [];
    for (const input of work.inputs) inputs.push(await placeInput(this.#blobs, input, INLINE_BASE64_MAX));
    return { ...spec, work: { ...work, inputs } };
  }

  async list(state?: TaskState): Promise<TaskView[]> {
    return (await readTasks(this.#ports.database, state)).map(taskView);
  }

  async show(id: string, withResults: boolean): Promise<TaskDetail> {
    const { database } = this.#ports;
    const task = await readTask(database, id);
    if (!task) throw unknownTask(id);
    const { work } = task.spec;
    const asked = withResults || (work.kind === 'inference' && work.reduce !== undefined);
    const results = asked ? await readResults(database, id) : new Map<number, unknown[]>();
    const units = {
      counts: await countUnits(database, id),
      shown: await readUnits(database, id, UNITS_SHOWN),
      awaited: await readAwaited(database, id),
    };
    return taskDetail(task, units, this.#ports.nodes(), results, withResults);
  }

  async cancel(id: string): Promise<TaskView> {
    const { database } = this.#ports;
    if (!(await readTask(database, id))) throw unknownTask(id);
    await this.desk.cancel(id);
    return taskView((await readTask(database, id)) ?? (await Promise.reject(unknownTask(id))));
  }

  /** Forgets what ended long ago. */
  forget(): Promise<number> {
    const { database, now } = this.#ports;
    return database.transaction().execute((transaction) => forgetEnded(transaction, now() - KEPT_MS));
  }

  async #checkModel(model: string): Promise<void> {
    if (this.#ports.nodes().some(({ ready }) => ready.has(model))) return;
    if ((await readModels(this.#ports.database, model)).length > 0) return;
    throw new Error(`there is no model "${model}"; add it first, with "llmasos models add FILE"`);
  }
}

function unknownTask(id: string): Error {
  return new Error(`there is no task "${id}"; "llmasos tasks list" shows those that there are`);
}
