// Bytes of WebAssembly code per kernel family, a file of assembly/ each: node scripts/build-kernels.mjs --sizes
// Source: WebAssembly core specification, chapter 5 (binary format) and appendix "Custom Sections" (function names).

const CUSTOM = 0;
const IMPORT = 2;
const CODE = 10;
const FUNCTION_NAMES = 1;
const FUNCTION_IMPORT = 0;
/** Memory imports with bit 0 set have a maximum as well. */
const MEMORY_IMPORT = 2;

class Reader {
  #bytes;
  at;

  constructor(bytes, at = 0) {
    this.#bytes = bytes;
    this.at = at;
  }

  /** An unsigned LEB128 number. */
  number() {
    let result = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.#bytes[this.at++];
      result += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return result;
    }
  }

  text() {
    const length = this.number();
    this.at += length;
    return new TextDecoder().decode(this.#bytes.subarray(this.at - length, this.at));
  }
}

/** How many functions come before those of the code section: imported ones share their numbering. */
function importedFunctions(reader) {
  let functions = 0;
  for (let left = reader.number(); left > 0; left--) {
    reader.text();
    reader.text();
    const kind = reader.number();
    if (kind === FUNCTION_IMPORT) functions++;
    else if (kind !== MEMORY_IMPORT)
      throw new Error(`wasm: expected imports of functions and memory, got kind ${kind}`);
    const flags = reader.number();
    if (kind !== MEMORY_IMPORT) continue;
    reader.number();
    if (flags & 1) reader.number();
  }
  return functions;
}

/** Name and body size of every function of a binary with a name section. */
function functionsOf(bytes) {
  const [sizes, names] = [[], new Map()];
  let first = 0;
  const sections = new Reader(bytes, 8);
  while (sections.at < bytes.length) {
    const id = sections.number();
    const length = sections.number();
    const end = sections.at + length;
    const reader = new Reader(bytes, sections.at);
    if (id === IMPORT) first = importedFunctions(reader);
    if (id === CODE)
      for (let left = reader.number(); left > 0; left--) {
        const size = reader.number();
        sizes.push(size);
        reader.at += size;
      }
    if (id === CUSTOM && reader.text() === 'name')
      while (reader.at < end) {
        const kind = reader.number();
        const after = reader.number() + reader.at;
        if (kind === FUNCTION_NAMES)
          for (let left = reader.number(); left > 0; left--) {
            const index = reader.number();
            names.set(index, reader.text());
          }
        reader.at = after;
      }
    sections.at = end;
  }
  return sizes.map((size, index) => ({ name: names.get(first + index) ?? '', size }));
}

/** `[family, bytes]`, the largest first; `bytes` of all together is what the binary has besides its tables and names. */
export function familySizes(bytes) {
  const families = new Map();
  for (const { name, size } of functionsOf(bytes)) {
    // AssemblyScript names a function by its file: assembly/tensor/gemm/strip; ~lib/math/NativeMath.sin is its own library's.
    const [, own] = /^assembly\/(?:tensor\/)?([^/.]+)/.exec(name) ?? [];
    const family = own ?? (name.startsWith('~lib/') ? 'mathematics' : 'glue');
    families.set(family, (families.get(family) ?? 0) + size);
  }
  return [...families].sort(([, a], [, b]) => b - a);
}
