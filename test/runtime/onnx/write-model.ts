/** Where tests find the writer of small ONNX files, which the benchmarks use too. */
export * from '../../../bench/write-model.ts';
