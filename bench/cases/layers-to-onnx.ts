/** A model of Keras layers as an ONNX file of float32, in NCHW: the kinds of layers that MobileNetV2 and InceptionV3 are made of. */
import { type AttributeSpec, attribute, floats, type NodeSpec, type TensorSpec, writeModel } from '../write-model.ts';
import { type Layer, type LayerConfig, type LayersModel, layerWeights } from './layers-model.ts';

/** A square picture of features, or a vector (size 1). */
interface Features {
  readonly name: string;
  readonly size: number;
  readonly channels: number;
  /** Padding that a layer of its own asked for; the convolution behind it takes it over. Top, left, bottom, right. */
  readonly pads?: readonly number[];
}

interface Window {
  readonly size: number;
  readonly attributes: AttributeSpec[];
}

/** TensorFlow's "same": as many outputs as inputs / stride, the odd zero at the end. */
function samePads(size: number, kernel: number, stride: number): [before: number, after: number] {
  const total = Math.max((Math.ceil(size / stride) - 1) * stride + kernel - size, 0);
  return [total >> 1, total - (total >> 1)];
}

function windowOf(
  { size, pads }: Features,
  kernel: readonly [number, number],
  { strides, padding }: LayerConfig,
): Window {
  const [stride] = strides;
  let [top = 0, left = 0, bottom = 0, right = 0] = pads ?? [];
  if (padding === 'same') {
    [top, bottom] = samePads(size, kernel[0], stride);
    [left, right] = samePads(size, kernel[1], stride);
  }
  const rows = size + top + bottom;
  const attributes = [
    attribute.ints('kernel_shape', kernel),
    attribute.ints('strides', strides),
    attribute.ints('pads', [top, left, bottom, right]),
  ];
  return { size: Math.floor((rows - kernel[0]) / stride) + 1, attributes };
}

/** [height, width, inputs, outputs] → [outputs, inputs, height, width] */
function filterToOnnx(
  data: Float32Array,
  [height = 1, width = 1, inputs = 1, outputs = 1]: readonly number[],
): Float32Array {
  const turned = new Float32Array(data.length);
  for (let at = 0; at < height * width; at++)
    for (let input = 0; input < inputs; input++)
      for (let output = 0; output < outputs; output++)
        turned[(output * inputs + input) * height * width + at] = data[
          (at * inputs + input) * outputs + output
        ] as number;
  return turned;
}

class Converter {
  readonly nodes: NodeSpec[] = [];
  readonly initializers: TensorSpec[] = [];
  readonly #weights: ReturnType<typeof layerWeights>;

  constructor(model: LayersModel) {
    this.#weights = layerWeights(model);
  }

  convert({ class_name: kind, config }: Layer, inputs: readonly Features[]): Features {
    const x = inputs[0] as Features;
    switch (kind) {
      case 'InputLayer':
        return { name: 'x', size: config.batch_input_shape[1] as number, channels: 3 };
      case 'ZeroPadding2D': {
        const [rows, columns] = config.padding as readonly (readonly [number, number])[];
        return { ...x, pads: [rows?.[0] ?? 0, columns?.[0] ?? 0, rows?.[1] ?? 0, columns?.[1] ?? 0] };
      }
      case 'Conv2D':
      case 'DepthwiseConv2D':
        return this.#convolution(x, config, kind === 'DepthwiseConv2D');
      case 'BatchNormalization':
        return this.#normalisation(x, config);
      case 'ReLU':
        return this.#activation(x, config.max_value === 6 ? 'relu6' : 'relu');
      case 'Activation':
        return this.#activation(x, config.activation);
      case 'Add':
        return { ...x, name: this.#node('Add', names(inputs)) };
      case 'Concatenate': {
        const channels = inputs.reduce((sum, input) => sum + input.channels, 0);
        return { ...x, channels, name: this.#node('Concat', names(inputs), [attribute.int('axis', 1)]) };
      }
      case 'MaxPooling2D':
      case 'AveragePooling2D': {
        const { size, attributes } = windowOf(x, config.pool_size, config);
        return {
          ...x,
          size,
          name: this.#node(kind === 'MaxPooling2D' ? 'MaxPool' : 'AveragePool', [x.name], attributes),
        };
      }
      case 'Flatten': {
        // The weights behind it are ordered by place, then channel.
        const turned = this.#node('Transpose', [x.name], [attribute.ints('perm', [0, 2, 3, 1])]);
        return { name: this.#node('Flatten', [turned]), size: 1, channels: x.channels * x.size ** 2 };
      }
      case 'Dropout':
        return x;
      case 'Dense':
        return this.#dense(x, config);
      default:
        throw new Error(`layer "${config.name}": kind ${kind} is not known to this converter`);
    }
  }

  #convolution(x: Features, config: LayerConfig, depthwise: boolean): Features {
    const { shape, data } = this.#weight(config, depthwise ? 'depthwise_kernel' : 'kernel');
    const [height = 1, width = 1, inputs = 1, outputs = 1] = shape;
    const channels = depthwise ? inputs : outputs;
    const filter = filterToOnnx(data, depthwise ? [height, width, 1, inputs] : shape);
    const { size, attributes } = windowOf(x, [height, width], config);
    const operands = [
      x.name,
      this.#constant(`${config.name}/filter`, [channels, depthwise ? 1 : inputs, height, width], filter),
    ];
    if (config.use_bias)
      operands.push(this.#constant(`${config.name}/bias`, [channels], this.#weight(config, 'bias').data));
    attributes.push(attribute.int('group', depthwise ? channels : 1));
    return this.#activation({ name: this.#node('Conv', operands, attributes), size, channels }, config.activation);
  }

  #normalisation(x: Features, config: LayerConfig): Features {
    const ones = new Float32Array(x.channels).fill(1);
    const parts: [string, Float32Array][] = [
      ['gamma', config.scale ? this.#weight(config, 'gamma').data : ones],
      ...['beta', 'moving_mean', 'moving_variance'].map((part): [string, Float32Array] => [
        part,
        this.#weight(config, part).data,
      ]),
    ];
    const operands = parts.map(([part, data]) => this.#constant(`${config.name}/${part}`, [x.channels], data));
    const epsilon = attribute.float('epsilon', config.epsilon);
    return { ...x, name: this.#node('BatchNormalization', [x.name, ...operands], [epsilon]) };
  }

  #dense(x: Features, config: LayerConfig): Features {
    const { shape, data } = this.#weight(config, 'kernel');
    const channels = shape[1] as number;
    const operands = [
      x.name,
      this.#constant(`${config.name}/matrix`, shape, data),
      this.#constant(`${config.name}/bias`, [channels], this.#weight(config, 'bias').data),
    ];
    return this.#activation({ name: this.#node('Gemm', operands), size: 1, channels }, config.activation);
  }

  #activation(x: Features, activation: string): Features {
    if (activation === 'linear') return x;
    if (activation === 'relu') return { ...x, name: this.#node('Relu', [x.name]) };
    if (activation === 'softmax') return { ...x, name: this.#node('Softmax', [x.name], [attribute.int('axis', -1)]) };
    if (activation !== 'relu6') throw new Error(`activation ${activation} is not known to this converter`);
    const bounds = [0, 6].map((bound) => this.#constant(`${x.name}/bound${bound}`, [], Float32Array.of(bound)));
    return { ...x, name: this.#node('Clip', [x.name, ...bounds]) };
  }

  #weight({ name }: LayerConfig, part: string) {
    const weight = this.#weights.get(`${name}/${part}`);
    if (!weight) throw new Error(`layer "${name}": expected a weight "${part}", found none`);
    return weight;
  }

  #constant(name: string, dims: readonly number[], data: Float32Array): string {
    this.initializers.push(floats(name, dims, data));
    return name;
  }

  #node(operator: string, inputs: readonly string[], attributes: readonly AttributeSpec[] = []): string {
    const output = `value${this.nodes.length}`;
    this.nodes.push({ operator, inputs, outputs: [output], attributes });
    return output;
  }
}

function names(inputs: readonly Features[]): string[] {
  return inputs.map(({ name }) => name);
}

/** The file takes pictures `x` of [1, 3, size, size] and answers with one row. */
export function layersToOnnx(model: LayersModel): Uint8Array {
  const converter = new Converter(model);
  const done = new Map<string, Features>();
  const { layers, output_layers: outputs } = model.modelTopology.model_config.config;
  for (const layer of layers) {
    const inputs = (layer.inbound_nodes[0] ?? []).map(([name]) => done.get(name) as Features);
    done.set(layer.config.name, converter.convert(layer, inputs));
  }
  const last = done.get(outputs[0][0]) as Features;
  const size = (done.get(layers[0]?.config.name as string) as Features).size;
  const { nodes, initializers } = converter;
  return writeModel({
    opsets: { '': 17 },
    graph: {
      inputs: [{ name: 'x', type: 1, dims: [1, 3, size, size] }],
      outputs: [{ name: last.name, type: 1, dims: [1, last.channels] }],
      initializers,
      nodes,
    },
  });
}
