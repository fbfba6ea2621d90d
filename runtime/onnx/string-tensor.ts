/** Tensors of texts in a model file. Source: onnx.proto3, TensorProto.string_data. */
import type { StringTensor } from '../engine/value.ts';
import type { ByteSource } from './byte-source.ts';
import type { TensorMessage } from './messages.ts';

const utf8 = new TextDecoder();

/** Texts that are decoded on first access. */
class FileStringTensor implements StringTensor {
  readonly type = 'string';
  readonly dims: readonly number[];
  readonly #file: ByteSource;
  readonly #spans: readonly number[];
  #data: readonly string[] | undefined;

  constructor(dims: readonly number[], file: ByteSource, spans: readonly number[]) {
    this.dims = dims;
    this.#file = file;
    this.#spans = spans;
  }

  get data(): readonly string[] {
    this.#data ??= this.#decode();
    return this.#data;
  }

  /** The texts lie behind one another, so that one read gets them all. */
  #decode(): string[] {
    const first = this.#spans[0] ?? 0;
    const bytes = this.#file.read(first, this.#spans.at(-1) ?? first);
    return Array.from({ length: this.#spans.length / 2 }, (_, i) =>
      utf8.decode(bytes.subarray((this.#spans[2 * i] ?? 0) - first, (this.#spans[2 * i + 1] ?? 0) - first)),
    );
  }
}

/** Throws an Error when the message holds another number of texts, or texts where the standard allows none. */
export function stringTensorOf(message: TensorMessage, count: number, file: ByteSource, what: string): StringTensor {
  if (message.raw || message.external)
    throw new Error(`${what}: expected texts in string_data, which the standard demands; got other data`);
  const got = message.strings.length / 2;
  if (got !== count) throw new Error(`${what}: [${message.dims}] of string takes ${count} values, got ${got}`);
  return new FileStringTensor(message.dims, file, message.strings);
}
