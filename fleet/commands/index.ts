/** Every command, in the order in which help shows them. The command line, the HTTP routes and OpenAPI are made from this. */
import { capacity } from './capacity.ts';
import type { Command } from './command.ts';
import { modelsExplain } from './explain.ts';
import { infer } from './infer.ts';
import { modelsAdd, modelsList, modelsRemove, modelsShow } from './models.ts';
import { nodes } from './nodes.ts';
import { placementExplain, placementProblem, placementShow, placementWhatIf } from './placement.ts';
import { protocol } from './protocol.ts';
import { rolloutsAbort, rolloutsList, rolloutsPause, rolloutsResume, rolloutsShow, rolloutsStart } from './rollouts.ts';
import { runs } from './runs.ts';
import { schedulesAdd, schedulesList, schedulesRemove } from './schedules.ts';
import { settingsExplain, settingsList, settingsRemove, settingsSet } from './settings.ts';
import { softwareAdd, softwareList, softwareRemove } from './software.ts';
import { tasksAdd, tasksCancel, tasksList, tasksShow } from './tasks.ts';
import { triggersAdd, triggersList, triggersRemove, triggersShow } from './triggers.ts';
import { watch } from './watch.ts';

export const commands: readonly Command[] = [
  nodes,
  modelsList,
  modelsShow,
  modelsExplain,
  modelsAdd,
  modelsRemove,
  triggersList,
  triggersShow,
  triggersAdd,
  triggersRemove,
  settingsSet,
  settingsList,
  settingsExplain,
  settingsRemove,
  softwareAdd,
  softwareList,
  softwareRemove,
  rolloutsStart,
  rolloutsList,
  rolloutsShow,
  rolloutsPause,
  rolloutsResume,
  rolloutsAbort,
  placementShow,
  placementExplain,
  placementWhatIf,
  placementProblem,
  infer,
  capacity,
  runs,
  tasksAdd,
  tasksList,
  tasksShow,
  tasksCancel,
  schedulesAdd,
  schedulesList,
  schedulesRemove,
  watch,
  protocol,
];
