/** The thread behind `CompileThread`. What it does lies with the compiler, so that a bundle holds that once. */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';

const { serveCompiler } = await import('./open-model.ts');
serveCompiler(parentPort as MessagePort, workerData);
