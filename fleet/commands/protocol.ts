import * as z from 'zod';
import { protocolSchemas } from '../../runtime/protocol/channels.ts';
import { defineCommand } from './command.ts';

export const protocol = defineCommand({
  name: ['protocol'],
  summary: 'Print the JSON Schema of every message between nodes and controller',
  arguments: z.strictObject({}),
  permission: 'read',
  isLocal: true,
  run: async () => protocolSchemas(),
  render: (schemas) => JSON.stringify(schemas, null, 2),
});
