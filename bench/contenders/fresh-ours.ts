/** Our library as fresh-process.ts loads it, in one file, as the others are. */
export { createEngine } from '../../runtime/engine/engine.ts';
export { tensorsOf } from '../../runtime/engine/value.ts';
export { fileSource } from '../../runtime/onnx/file-io.ts';
