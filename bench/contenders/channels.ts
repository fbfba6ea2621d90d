/** Pictures with the channels first, as ONNX has them, and last. */
import type { Tensor } from '../../runtime/engine/tensor.ts';

/** [n, c, …] → [n, …, c] */
export function toChannelsLast({ type, dims, data }: Tensor): Tensor {
  const [batch = 1, channels = 1, ...spatial] = dims;
  const inner = spatial.reduce((product, size) => product * size, 1);
  const turned = new Float32Array(data.length);
  for (let n = 0; n < batch; n++)
    for (let c = 0; c < channels; c++)
      for (let i = 0; i < inner; i++)
        turned[(n * inner + i) * channels + c] = Number(data[(n * channels + c) * inner + i]);
  return { type, dims: [batch, ...spatial, channels], data: turned };
}

/** [n, …, c] → [n, c, …] */
export function toChannelsFirst(data: Float32Array, dims: readonly number[]): Tensor {
  const [batch = 1, ...spatial] = dims;
  const channels = spatial.pop() ?? 1;
  const inner = spatial.reduce((product, size) => product * size, 1);
  const turned = new Float32Array(data.length);
  for (let n = 0; n < batch; n++)
    for (let c = 0; c < channels; c++)
      for (let i = 0; i < inner; i++)
        turned[(n * channels + c) * inner + i] = data[(n * inner + i) * channels + c] as number;
  return { type: 'float32', dims: [batch, channels, ...spatial], data: turned };
}
