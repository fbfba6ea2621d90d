/** ONNX's messages as they stand in the file, unchecked. Field numbers: onnx.proto3. */
import {
  countMessage,
  type Fields,
  type Reader,
  readFloat,
  readFloats,
  readInt,
  readInts,
  readMessage,
  readName,
  readSpan,
  readSpans,
  readText,
} from './wire.ts';

export interface TensorMessage {
  name: string;
  dims: number[];
  dataType: number;
  raw?: [start: number, end: number];
  /** Typed fields, as spans of the file. */
  floats: number[];
  int32s: number[];
  int64s: number[];
  doubles: number[];
  uint64s: number[];
  /** Texts, as start, end, start, end … in the file. */
  strings: number[];
  external: boolean;
  externalEntries: Map<string, string>;
}

export interface SparseTensorMessage {
  values?: TensorMessage;
  indices?: TensorMessage;
  dims: number[];
}

export interface AttributeMessage {
  name: string;
  /** In the body of a function: the attribute of the call whose value it takes. */
  reference: string;
  type: number;
  float: number;
  int: number;
  text: string;
  tensor?: TensorMessage;
  graph?: GraphMessage;
  sparse?: SparseTensorMessage;
  floats: number[];
  ints: number[];
  texts: string[];
  tensors: TensorMessage[];
  graphs: GraphMessage[];
}

export interface NodeMessage {
  inputs: string[];
  outputs: string[];
  name: string;
  operator: string;
  domain: string;
  /** Tells functions of one name apart. */
  overload: string;
  attributes: AttributeMessage[];
}

/** A type: of a tensor with its dimensions, or of what holds other values. */
export interface TypeMessage {
  kind: 'tensor' | 'sequence' | 'optional' | 'map' | 'sparse_tensor' | 'opaque' | 'unknown';
  elementType: number;
  inner?: TypeMessage;
  dims: (number | string | null)[];
}

export interface ValueMessage {
  name: string;
  type?: TypeMessage;
}

export interface GraphMessage {
  name: string;
  nodes: NodeMessage[];
  initializers: TensorMessage[];
  sparseInitializers: SparseTensorMessage[];
  inputs: ValueMessage[];
  outputs: ValueMessage[];
}

export interface FunctionMessage {
  name: string;
  domain: string;
  overload: string;
  inputs: string[];
  outputs: string[];
  /** Attributes that a call may leave out. */
  defaults: AttributeMessage[];
  nodes: NodeMessage[];
  opsets: OpsetMessage[];
}

export interface OpsetMessage {
  domain: string;
  version: number;
}

export interface ModelMessage {
  irVersion: number;
  producerName: string;
  producerVersion: string;
  opsets: OpsetMessage[];
  graph?: GraphMessage;
  functions: FunctionMessage[];
}

function set<T, K extends keyof T>(key: K, read: (reader: Reader) => T[K]): (message: T, reader: Reader) => void {
  return (message, reader) => {
    message[key] = read(reader);
  };
}

function add<K extends string, V>(
  key: K,
  read: (reader: Reader) => V,
): (message: Record<K, V[]>, reader: Reader) => void {
  return (message, reader) => {
    message[key].push(read(reader));
  };
}

const externalEntry: Fields<{ key: string; value: string }> = {
  1: set('key', readName),
  2: set('value', readName),
};

export const tensorFields: Fields<TensorMessage> = {
  1: (m, r) => readInts(r, m.dims),
  2: set('dataType', readInt),
  4: (m, r) => readSpans(r, 'fixed32', m.floats),
  5: (m, r) => readSpans(r, 'varint', m.int32s),
  6: (m, r) => {
    countMessage(r); // a text costs as much here as a message does
    m.strings.push(...readSpan(r));
  },
  7: (m, r) => readSpans(r, 'varint', m.int64s),
  8: set('name', readName),
  9: set('raw', readSpan),
  10: (m, r) => readSpans(r, 'fixed64', m.doubles),
  11: (m, r) => readSpans(r, 'varint', m.uint64s),
  13: (m, r) => {
    const entry = readMessage(r, externalEntry, { key: '', value: '' });
    m.externalEntries.set(entry.key, entry.value);
  },
  14: (m, r) => {
    m.external = readInt(r) === 1;
  },
};

export function emptyTensor(): TensorMessage {
  return {
    name: '',
    dims: [],
    dataType: 0,
    floats: [],
    int32s: [],
    int64s: [],
    doubles: [],
    uint64s: [],
    strings: [],
    external: false,
    externalEntries: new Map(),
  };
}

/** Fields that may hold much data, by where it lies in the file. */
export const tensorSpans: Readonly<Record<number, (message: TensorMessage, start: number, end: number) => void>> = {
  4: (m, start, end) => m.floats.push(start, end),
  5: (m, start, end) => m.int32s.push(start, end),
  7: (m, start, end) => m.int64s.push(start, end),
  9: (m, start, end) => {
    m.raw = [start, end];
  },
  10: (m, start, end) => m.doubles.push(start, end),
  11: (m, start, end) => m.uint64s.push(start, end),
};

function readTensor(reader: Reader): TensorMessage {
  return readMessage(reader, tensorFields, emptyTensor());
}

const sparseTensorFields: Fields<SparseTensorMessage> = {
  1: set('values', readTensor),
  2: set('indices', readTensor),
  3: (m, r) => readInts(r, m.dims),
};

function readSparseTensor(reader: Reader): SparseTensorMessage {
  return readMessage<SparseTensorMessage>(reader, sparseTensorFields, { dims: [] });
}

const attributeFields: Fields<AttributeMessage> = {
  1: set('name', readName),
  2: set('float', readFloat),
  3: set('int', readInt),
  4: set('text', readText),
  5: set('tensor', readTensor),
  6: set('graph', readGraph),
  7: (m, r) => readFloats(r, m.floats),
  8: (m, r) => readInts(r, m.ints),
  9: add('texts', readText),
  10: add('tensors', readTensor),
  11: add('graphs', readGraph),
  20: set('type', readInt),
  21: set('reference', readName),
  22: set('sparse', readSparseTensor),
};

function readAttribute(reader: Reader): AttributeMessage {
  return readMessage<AttributeMessage>(reader, attributeFields, {
    name: '',
    reference: '',
    type: 0,
    float: 0,
    int: 0,
    text: '',
    floats: [],
    ints: [],
    texts: [],
    tensors: [],
    graphs: [],
  });
}

const nodeFields: Fields<NodeMessage> = {
  1: add('inputs', readName),
  2: add('outputs', readName),
  3: set('name', readName),
  4: set('operator', readName),
  5: add('attributes', readAttribute),
  7: set('domain', readName),
  8: set('overload', readName),
};

function readNode(reader: Reader): NodeMessage {
  return readMessage<NodeMessage>(reader, nodeFields, {
    inputs: [],
    outputs: [],
    name: '',
    operator: '',
    domain: '',
    overload: '',
    attributes: [],
  });
}

const dimensionFields: Fields<{ dim: number | string | null }> = {
  1: set('dim', readInt),
  2: set('dim', readName),
};

const shapeFields: Fields<TypeMessage> = {
  1: (m, r) => void m.dims.push(readMessage<{ dim: number | string | null }>(r, dimensionFields, { dim: null }).dim),
};

const tensorTypeFields: Fields<TypeMessage> = {
  1: set('elementType', readInt),
  2: (m, r) => void readMessage(r, shapeFields, m),
};

const sequenceFields: Fields<TypeMessage> = { 1: set('inner', readType) };

const mapFields: Fields<TypeMessage> = {
  1: set('elementType', readInt),
  2: set('inner', readType),
};

function typeField(
  kind: TypeMessage['kind'],
  fields: Fields<TypeMessage>,
): (message: TypeMessage, reader: Reader) => void {
  return (message, reader) => {
    message.kind = kind;
    readMessage(reader, fields, message);
  };
}

const typeFields: Fields<TypeMessage> = {
  1: typeField('tensor', tensorTypeFields),
  4: typeField('sequence', sequenceFields),
  5: typeField('map', mapFields),
  7: typeField('opaque', {}),
  8: typeField('sparse_tensor', tensorTypeFields),
  9: typeField('optional', sequenceFields),
};

function readType(reader: Reader): TypeMessage {
  return readMessage<TypeMessage>(reader, typeFields, { kind: 'unknown', elementType: 0, dims: [] });
}

const valueFields: Fields<ValueMessage> = {
  1: set('name', readName),
  2: set('type', readType),
};

function readValue(reader: Reader): ValueMessage {
  return readMessage<ValueMessage>(reader, valueFields, { name: '' });
}

export const graphFields: Fields<GraphMessage> = {
  1: add('nodes', readNode),
  2: set('name', readName),
  5: add('initializers', readTensor),
  11: add('inputs', readValue),
  12: add('outputs', readValue),
  15: add('sparseInitializers', readSparseTensor),
};

export function emptyGraph(): GraphMessage {
  return {
    name: '',
    nodes: [],
    initializers: [],
    sparseInitializers: [],
    inputs: [],
    outputs: [],
  };
}

function readGraph(reader: Reader): GraphMessage {
  return readMessage(reader, graphFields, emptyGraph());
}

const opsetFields: Fields<OpsetMessage> = {
  1: set('domain', readName),
  2: set('version', readInt),
};

function readOpset(reader: Reader): OpsetMessage {
  return readMessage(reader, opsetFields, { domain: '', version: 0 });
}

const functionFields: Fields<FunctionMessage> = {
  1: set('name', readName),
  4: add('inputs', readName),
  5: add('outputs', readName),
  7: add('nodes', readNode),
  9: add('opsets', readOpset),
  10: set('domain', readName),
  11: add('defaults', readAttribute),
  13: set('overload', readName),
};

function readFunction(reader: Reader): FunctionMessage {
  return readMessage<FunctionMessage>(reader, functionFields, {
    name: '',
    domain: '',
    overload: '',
    inputs: [],
    outputs: [],
    defaults: [],
    nodes: [],
    opsets: [],
  });
}

export const modelFields: Fields<ModelMessage> = {
  1: set('irVersion', readInt),
  2: set('producerName', readText),
  3: set('producerVersion', readText),
  7: set('graph', readGraph),
  8: add('opsets', readOpset),
  25: add('functions', readFunction),
};
