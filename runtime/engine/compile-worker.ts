/** The thread behind `CompileThread`. What it does lies with the compiler, so that a bundle holds that once. */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { goLast } from './thread-priority-io.ts';

// To load the compiler takes longer than most programs do, and while it is loaded small ones are compiled elsewhere.
goLast();
const { serveCompiler } = await import('./open-model.ts');
serveCompiler(parentPort as MessagePort, workerData);
