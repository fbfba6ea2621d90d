/**
 * A task as a trace: one span from its acceptance to its end, the spans of its units, which nodes make, inside. Its identity is
 * a hash of what every assignment names, so that a controller which starts again, or another one, goes on with the same trace
 * and nothing has to be stored.
 */
import { createHash } from 'node:crypto';
import type { Content, TaskMessage } from '../../runtime/protocol/tasks.ts';
import type { KnownSpan } from '../../runtime/telemetry/telemetry-io.ts';
import type { Task } from './task.ts';

export interface TaskTrace {
  /** The message with a `traceparent` in each of its assignments. */
  mark(content: Content<TaskMessage>): Content<TaskMessage>;
  ended(task: Task): void;
}

export function createTaskTrace(record: (span: KnownSpan) => void): TaskTrace {
  return {
    mark(content) {
      if (content.type !== 'llmasos.tasks.assigned') return content;
      const units = content.data.units.map((unit) => {
        const { traceId, spanId } = identityOf(unit.unit.slice(0, unit.unit.lastIndexOf('.')), unit.deadlineAt);
        return { ...unit, traceparent: `00-${traceId}-${spanId}-01` };
      });
      return { ...content, data: { ...content.data, units } };
    },
    ended({ id, spec, state, units, addedAt, deadlineAt, endedAt }) {
      const attributes = { 'llmasos.task': id, 'llmasos.state': state, 'llmasos.units': units };
      record({
        name: `task ${spec.work.kind}`,
        identity: identityOf(id, deadlineAt),
        ...{ startedAt: addedAt, endedAt: endedAt ?? addedAt, attributes },
      });
    },
  };
}

function identityOf(task: string, deadlineAt: number): KnownSpan['identity'] {
  const hash = createHash('sha256').update(`${task} ${deadlineAt}`).digest('hex');
  return { traceId: hash.slice(0, 32), spanId: hash.slice(32, 48) };
}
