#!/usr/bin/env node
// The command `llmasos`, from any Node: makes the clone ready and runs the command line on the packaged Node.
process.argv.splice(2, 0, 'fleet/cli/main.ts');
await import('./run.mjs');
