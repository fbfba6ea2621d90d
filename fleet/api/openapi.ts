/** The HTTP side described as OpenAPI 3.1, made from the command table. */
import * as z from 'zod';
import { type Command, hasRoute } from '../commands/command.ts';

const answer = (description: string, schema: object) => ({ description, content: { 'application/json': { schema } } });

const refusal = answer('What was refused and why', {
  type: 'object',
  properties: { ok: { const: false }, error: { type: 'string' } },
  required: ['ok', 'error'],
});

const bytes = { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } };

const sha256 = { name: 'sha256', in: 'path', required: true, schema: { type: 'string', pattern: '^[0-9a-f]{64}$' } };

export function describeApi(commands: readonly Command[]): object {
  const routes = commands.filter(hasRoute);
  return {
    openapi: '3.1.0',
    info: { title: 'LLMasOS controller', version: 'v1' },
    paths: {
      ...Object.fromEntries(
        routes.map((command) => [`/v1/commands/${command.name.join('.')}`, { post: describe(command) }]),
      ),
      '/v1/blobs/{sha256}': {
        parameters: [sha256],
        put: {
          summary: 'Upload a file by its content',
          requestBody: { content: bytes },
          responses: { 201: { description: 'The file is on the disk' }, 400: refusal, 413: refusal },
        },
        get: {
          summary: 'Fetch a file, or a part of it (Range)',
          responses: {
            200: { description: 'All of it', content: bytes },
            206: { description: 'A part', content: bytes },
          },
        },
      },
      '/v1/watch': {
        get: {
          summary: 'Messages as they pass',
          parameters: [{ name: 'filter', in: 'query', schema: { type: 'string', default: '#' } }],
          responses: { 200: { description: 'Server-sent events', content: { 'text/event-stream': {} } } },
        },
      },
      '/healthz': {
        get: { summary: 'Whether the controller has its broker', responses: { 200: { description: 'Yes' } } },
      },
    },
  };
}

function describe({ name, summary, arguments: schema, permission }: Command): object {
  return {
    operationId: name.join('.'),
    summary,
    'x-permission': permission,
    requestBody: {
      required: true,
      content: { 'application/json': { schema: z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) } },
    },
    responses: {
      200: answer('Done', {
        type: 'object',
        properties: { ok: { const: true }, result: {} },
        required: ['ok', 'result'],
      }),
      400: refusal,
    },
  };
}
