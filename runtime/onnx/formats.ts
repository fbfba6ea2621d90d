/** Files that are handed in for a model and are something else: recognised by their first bytes, with the way to a model. */

interface Format {
  readonly name: string;
  readonly offset: number;
  readonly magic: string;
  readonly advice: string;
}

const TO_ONNX = 'export the model to ONNX';

const formats: readonly Format[] = [
  {
    name: 'a TensorFlow Lite model',
    offset: 4,
    magic: 'TFL3',
    advice: 'convert it with tf2onnx (python -m tf2onnx.convert --tflite)',
  },
  {
    name: "a model in onnxruntime's own ORT format",
    offset: 4,
    magic: 'ORTM',
    advice: 'use the .onnx file that it was made from',
  },
  {
    name: 'a zip archive (TorchScript, PyTorch and Keras 3 models are)',
    offset: 0,
    magic: 'PK\x03\x04',
    advice: 'export it with torch.onnx.export or tf2onnx',
  },
  {
    name: 'a Python pickle (an old PyTorch checkpoint)',
    offset: 0,
    magic: '\x80\x02',
    advice: 'export it with torch.onnx.export',
  },
  { name: 'a GGUF model', offset: 0, magic: 'GGUF', advice: `${TO_ONNX} from its original weights` },
  {
    name: 'an HDF5 file (Keras)',
    offset: 0,
    magic: '\x89HDF',
    advice: 'convert it with tf2onnx (python -m tf2onnx.convert --keras)',
  },
  {
    name: 'a SafeTensors file, which holds weights only',
    offset: 8,
    magic: '{"',
    advice: `${TO_ONNX} with its code, for example by optimum-cli`,
  },
  { name: 'a gzip archive', offset: 0, magic: '\x1f\x8b', advice: 'unpack it first' },
  {
    name: 'a Git LFS pointer',
    offset: 0,
    magic: 'version https://git-lfs',
    advice: 'fetch the file itself with git lfs pull',
  },
  { name: 'a JPEG picture', offset: 0, magic: '\xff\xd8\xff', advice: 'give an .onnx file' },
  { name: 'a PNG picture', offset: 0, magic: '\x89PNG', advice: 'give an .onnx file' },
  { name: 'a WAV recording', offset: 0, magic: 'RIFF', advice: 'give an .onnx file' },
  {
    name: 'an XML or HTML page',
    offset: 0,
    magic: '<',
    advice: "give an .onnx file (an OpenVINO model's .xml: export it to ONNX)",
  },
  {
    name: 'JSON text',
    offset: 0,
    magic: '{',
    advice: 'give an .onnx file (a TensorFlow.js model: convert it with tf2onnx)',
  },
];

/** What the bytes are, if they are one of the usual mistakes: `name; advice`. */
export function recogniseOther(bytes: Uint8Array): string | undefined {
  const head = String.fromCharCode(...bytes.subarray(0, 64));
  const format = formats.find(({ offset, magic }) => head.startsWith(magic, offset));
  return format && `${format.name}; ${format.advice}`;
}
