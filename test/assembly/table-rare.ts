import * as op from '../../assembly/opcodes.ts';
import type { BorderMode, SampleMode, ScatterName } from '../../runtime/compile/rare-operations.ts';
import { arrayOf, type DataType, elementBytes } from '../../runtime/engine/tensor.ts';
import type { Row } from './kernel-table.ts';
import type { Trial } from './machine.ts';
import { philox } from './philox.ts';

const types = ['float32', 'float64', 'int64', 'int32', 'uint8', 'int16'] as const;

/** Small whole numbers, among which many are equal. */
function numbers(trial: Trial, count: number, low: number, high: number): number[] {
  return Array.from({ length: count }, () => Math.floor(trial.random(low, high)));
}

function typed(type: DataType, values: readonly number[]) {
  const array = arrayOf(type);
  if (type === 'int64') return BigInt64Array.from(values, BigInt);
  return new array(values as never) as InstanceType<typeof array>;
}

const wide = (values: readonly number[]): bigint[] => values.map(BigInt);
const expectedOf = (type: DataType, values: readonly number[]) => (type === 'int64' ? wide(values) : values);

const wrapRow: Row = {
  name: 'wrapIndices',
  opcodes: [op.WRAP_INDICES],
  tolerance: 0,
  cases: [1, 7, 100, 70_000].flatMap((count) =>
    (['int32', 'int64'] as const).map((type) => (trial: Trial) => {
      const size = 13;
      const indices = numbers(trial, count, -size, size);
      const y = trial.output(wide(indices.map((index) => (index < 0 ? index + size : index))), 'int64');
      trial.assembler.wrapIndices({ x: trial.input(typed(type, indices)), type, y, count, size });
    }),
  ),
};

const joins: Record<ScatterName, (a: number, b: number) => number> = {
  set: (_, b) => b,
  add: (a, b) => a + b,
  mul: (a, b) => a * b,
  max: Math.max,
  min: Math.min,
};

const scatterRow: Row = {
  name: 'scatter',
  opcodes: [op.SCATTER, op.COPY],
  tolerance: 0,
  cases: types.flatMap((type) =>
    (['set', 'add', 'mul', 'max', 'min'] as const).flatMap((name) =>
      [
        [5, 1, 3],
        [7, 3, 20],
        [9, 17, 9],
      ].map(([rows = 0, inner = 0, given = 0]) => (trial: Trial) => {
        // Products of many small numbers leave the range of a byte, where nothing has to agree.
        const count = name === 'mul' ? Math.min(given, 3) : given;
        const [x, updates] = [numbers(trial, rows * inner, 0, 5), numbers(trial, count * inner, 0, 4)];
        const positions = numbers(trial, count, 0, rows);
        const after = [...x];
        positions.forEach((row, i) => {
          for (let j = 0; j < inner; j++)
            after[row * inner + j] = joins[name](after[row * inner + j] as number, updates[i * inner + j] as number);
        });
        const y = trial.output(expectedOf(type, after), type);
        const block = { shape: [rows * inner], xStrides: [1], yStrides: [1], elementBytes: elementBytes(type) };
        trial.assembler.copy({ ...block, x: trial.input(typed(type, x)), y });
        const places = {
          positions: trial.input(typed('int64', positions)),
          updates: trial.input(typed(type, updates)),
        };
        trial.assembler.scatter({ name, type, y, ...places, rows, inner, count });
      }),
    ),
  ),
};

const runs = [
  [1, 1, 1],
  [2, 5, 3],
  [3, 8, 1],
  [40, 10, 300],
] as const;

function cumulateCase(type: (typeof types)[number], flags: number, [outer, axis, inner]: (typeof runs)[number]) {
  const [product, exclusive, reverse] = [1, 2, 4].map((flag) => (flags & flag) !== 0) as [boolean, boolean, boolean];
  return (trial: Trial) => {
    const x = numbers(trial, outer * axis * inner, product ? 0 : 1, product ? 2 : 5);
    const expected = new Array<number>(x.length);
    for (let row = 0; row < outer * inner; row++) {
      let sum = product ? 1 : 0;
      for (let step = 0; step < axis; step++) {
        const place = reverse ? axis - 1 - step : step;
        const at = (Math.floor(row / inner) * axis + place) * inner + (row % inner);
        const next = product ? sum * (x[at] as number) : sum + (x[at] as number);
        expected[at] = exclusive ? sum : next;
        sum = next;
      }
    }
    const y = trial.output(expectedOf(type, expected), type);
    const run = { type, outer, axis, inner, product, exclusive, reverse };
    trial.assembler.cumulate({ ...run, x: trial.input(typed(type, x)), y });
  };
}

const cumulateRow: Row = {
  name: 'cumulate',
  opcodes: [op.CUMULATE],
  tolerance: 0,
  cases: types.flatMap((type) =>
    [0, 1, 2, 4, 6, 7].flatMap((flags) => runs.map((run) => cumulateCase(type, flags, run))),
  ),
};

const topKRow: Row = {
  name: 'topK',
  opcodes: [op.TOP_K],
  tolerance: 0,
  cases: types.flatMap((type) =>
    [true, false].flatMap((largest) =>
      [
        [1, 1, 1, 1],
        [2, 7, 3, 4],
        [1, 100, 1, 100],
        [5, 300, 20, 10],
      ].map(([outer = 0, axis = 0, inner = 0, k = 0]) => (trial: Trial) => {
        const x = numbers(trial, outer * axis * inner, 0, 50);
        const [values, places] = [new Array<number>(outer * k * inner), new Array<number>(outer * k * inner)];
        for (let row = 0; row < outer * inner; row++) {
          const [block, column] = [Math.floor(row / inner), row % inner];
          const at = (i: number): number => x[(block * axis + i) * inner + column] as number;
          const order = Array.from({ length: axis }, (_, i) => i);
          order.sort((a, b) => (largest ? at(b) - at(a) : at(a) - at(b)) || a - b);
          for (let i = 0; i < k; i++) {
            values[(block * k + i) * inner + column] = at(order[i] as number);
            places[(block * k + i) * inner + column] = order[i] as number;
          }
        }
        const outputs = {
          values: trial.output(expectedOf(type, values), type),
          indices: trial.output(wide(places), 'int64'),
        };
        const heap = trial.scratch(axis * 4);
        trial.assembler.topK({
          type,
          x: trial.input(typed(type, x)),
          ...outputs,
          heap,
          outer,
          axis,
          inner,
          k,
          largest,
        });
      }),
    ),
  ),
};

/** A pixel of a plane, or of what lies around it. */
function pixel(border: BorderMode, size: number, place: number): number | undefined {
  if (place >= 0 && place < size) return place;
  if (border === 'zeros') return undefined;
  if (border === 'border') return Math.min(Math.max(place, 0), size - 1);
  // Mirrored at the centres of the outermost pixels.
  const period = 2 * (size - 1);
  const at = ((place % period) + period) % period;
  return at < size ? at : period - at;
}

const keys = (x: number): number => {
  const [a, t] = [-0.75, Math.abs(x)];
  if (t <= 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
  return t < 2 ? ((a * t - 5 * a) * t + 8 * a) * t - 4 * a : 0;
};
const filters: Record<SampleMode, { reach: number; weight: (x: number) => number }> = {
  nearest: { reach: 1, weight: (x) => (Math.abs(x) <= 0.5 ? 1 : 0) },
  linear: { reach: 1, weight: (x) => Math.max(1 - Math.abs(x), 0) },
  cubic: { reach: 2, weight: keys },
};

function sampleCase(mode: SampleMode, border: BorderMode) {
  const [batch, height, width, channels, points] = [2, 5, 6, 9, 40];
  return (trial: Trial) => {
    const x = trial.floats(batch * height * width * channels);
    // Not halfway between pixels, where `nearest` may go either way.
    const grid = Array.from({ length: batch * points * 2 }, () => Math.floor(trial.random(-70, 110)) / 10 + 0.03);
    const { reach, weight } = filters[mode];
    const expected = Array.from({ length: batch * points * channels }, (_, i) => {
      const point = Math.floor(i / channels);
      const [left, top] = [grid[point * 2] as number, grid[point * 2 + 1] as number];
      let sum = 0;
      for (let row = Math.ceil(top - reach); row <= top + reach; row++)
        for (let column = Math.ceil(left - reach); column <= left + reach; column++) {
          const [y, at] = [pixel(border, height, row), pixel(border, width, column)];
          if (y === undefined || at === undefined) continue;
          const image = Math.floor(point / points);
          const value = x[((image * height + y) * width + at) * channels + (i % channels)] as number;
          sum += value * weight(top - row) * weight(left - column);
        }
      return sum;
    });
    const places = { x: trial.input(x), grid: trial.input(Float32Array.from(grid)), y: trial.output(expected) };
    const how = { mode, border, aligned: true, normalised: false, rank: 2, size: [1, height, width] } as const;
    trial.assembler.sample({ ...places, ...how, channels, batch, points });
  };
}

const sampleRow: Row = {
  name: 'sample',
  opcodes: [op.SAMPLE],
  tolerance: 1e-5,
  cases: (['nearest', 'linear', 'cubic'] as const).flatMap((mode) =>
    (['zeros', 'border', 'reflection'] as const).map((border) => sampleCase(mode, border)),
  ),
};

const roiAlignRow: Row = {
  name: 'roiAlign',
  opcodes: [op.ROI_ALIGN],
  tolerance: 1e-5,
  // A picture that rises evenly has at every place inside the value of that place, so a bin has that of its middle.
  cases: [1, 2, 3, 0].map((ratio) => (trial: Trial) => {
    const [height, width, regions, scale] = [12, 16, 5, 0.5];
    const x = Float32Array.from({ length: height * width * 2 }, (_, i) => {
      const [row, column] = [Math.floor(i / 2 / width), Math.floor(i / 2) % width];
      return i % 2 === 0 ? row + 10 * column : 3;
    });
    const rois = Array.from({ length: regions }, () => {
      const [left, top] = [trial.random(3, 8), trial.random(3, 8)];
      return [left, top, left + trial.random(4, 12), top + trial.random(4, 8)];
    });
    const [rows, columns] = [2, 3];
    const expected = rois.flatMap(([left = 0, top = 0, right = 0, bottom = 0]) =>
      Array.from({ length: rows * columns }, (_, bin) => {
        const y = top + ((bottom - top) * (Math.floor(bin / columns) + 0.5)) / rows;
        const at = left + ((right - left) * ((bin % columns) + 0.5)) / columns;
        return [y * scale - 0.5 + 10 * (at * scale - 0.5), 3];
      }).flat(),
    );
    const places = {
      x: trial.input(x),
      rois: trial.input(Float32Array.from(rois.flat())),
      images: trial.input(BigInt64Array.from(rois, () => 0n)),
      y: trial.output(expected),
    };
    const how = { regions, outputSize: [rows, columns], ratio, scale, offset: 0.5, largest: false } as const;
    trial.assembler.roiAlign({ ...places, dims: [1, height, width, 2], ...how });
  }),
};

const maxRoiPoolRow: Row = {
  name: 'maxRoiPool',
  opcodes: [op.MAX_ROI_POOL],
  tolerance: 0,
  cases: [1, 2, 5, 9].map((channels) => (trial: Trial) => {
    const [batch, height, width, regions, rows, columns] = [2, 7, 9, 6, 3, 2];
    const x = trial.floats(batch * height * width * channels);
    // Some lie partly or wholly outside.
    const rois = Array.from({ length: regions }, () => numbers(trial, 4, -4, 12));
    const images = numbers(trial, regions, 0, batch);
    const expected: number[] = [];
    rois.forEach(([left = 0, top = 0, right = 0, bottom = 0], region) => {
      const [high, wide] = [Math.max(bottom - top + 1, 1), Math.max(right - left + 1, 1)];
      for (let bin = 0; bin < rows * columns; bin++)
        for (let channel = 0; channel < channels; channel++) {
          const values: number[] = [];
          const [row, column] = [Math.floor(bin / columns), bin % columns];
          for (let i = Math.floor((row * high) / rows); i < Math.ceil(((row + 1) * high) / rows); i++)
            for (let j = Math.floor((column * wide) / columns); j < Math.ceil(((column + 1) * wide) / columns); j++) {
              const [y, at] = [top + i, left + j];
              if (y < 0 || y >= height || at < 0 || at >= width) continue;
              values.push(x[(((images[region] as number) * height + y) * width + at) * channels + channel] as number);
            }
          expected.push(values.length > 0 ? Math.max(...values) : 0);
        }
    });
    const words = rois.flatMap((roi, region) => [images[region] as number, ...roi]);
    const places = { x: trial.input(x), rois: trial.input(Float32Array.from(words)), y: trial.output(expected) };
    trial.assembler.maxRoiPool({
      ...places,
      dims: [batch, height, width, channels],
      regions,
      outputSize: [rows, columns],
      scale: 1,
    });
  }),
};

/** By cofactors of the first row. */
function determinant(rows: readonly (readonly number[])[]): number {
  const [first, ...rest] = rows;
  if (!first) return 1;
  return first.reduce((sum, value, i) => {
    const minor = rest.map((row) => row.filter((_, column) => column !== i));
    return sum + (i % 2 === 0 ? 1 : -1) * value * determinant(minor);
  }, 0);
}

const determinantRow: Row = {
  name: 'determinant',
  opcodes: [op.DETERMINANT],
  tolerance: 1e-6,
  cases: [0, 1, 2, 3, 6].map((size) => (trial: Trial) => {
    const count = 4;
    // Whole numbers, with some zeros that have to be stepped around.
    const x = numbers(trial, count * size * size, -2, 3);
    const expected = Array.from({ length: count }, (_, i) =>
      determinant(
        Array.from({ length: size }, (_, row) => x.slice((i * size + row) * size, (i * size + row + 1) * size)),
      ),
    );
    const places = { x: trial.input(Float32Array.from(x)), y: trial.output(expected) };
    trial.assembler.determinant({ ...places, room: trial.scratch(size * size * 8), count, size });
  }),
};

const lookupRow: Row = {
  name: 'lookup',
  opcodes: [op.LOOKUP],
  tolerance: 0,
  cases: [
    [1, 1],
    [70_001, 1],
    [7, 3],
    [300, 300],
  ].map(([rows, channels]) => (trial: Trial) => {
    const [r, c] = [rows as number, channels as number];
    const x = Uint8Array.from(numbers(trial, r * c, 0, 255));
    const table = Int8Array.from(numbers(trial, 256 * c, -128, 127));
    const expected = Array.from(x, (value, i) => table[value * c + (i % c)] as number);
    const places = { x: trial.input(x), table: trial.input(table), y: trial.output(expected, 'int8') };
    trial.assembler.lookup({ ...places, rows: r, channels: c });
  }),
};

const uniformRow: Row = {
  name: 'uniform',
  opcodes: [op.UNIFORM],
  tolerance: 0,
  cases: [1, 2, 3, 4, 7, 100, 70_001].flatMap((count) =>
    (count > 1000 ? [1] : [0, 1, 0xffffffff]).map((key) => (trial: Trial) => {
      const draw = Math.floor(trial.random(0, 1000));
      // The count goes up by one; as a float its bits are left alone.
      const asFloats = (draws: number): Float32Array => new Float32Array(BigUint64Array.of(BigInt(draws)).buffer);
      const draws = trial.inPlace(asFloats(draw), asFloats(draw + 1));
      const blocks = Array.from({ length: Math.ceil(count / 4) }, (_, block) =>
        philox([block, 0, draw, 0], [key, (key ^ 5) >>> 0]),
      );
      const expected = blocks
        .flat()
        .slice(0, count)
        .map((word) => (word >>> 8) / 2 ** 24);
      const places = { draws, room: trial.scratch(8), y: trial.output(expected), count };
      trial.assembler.uniform({ ...places, key: [key, (key ^ 5) >>> 0] });
    }),
  ),
};

export const rareRows: readonly Row[] = [
  wrapRow,
  scatterRow,
  cumulateRow,
  topKRow,
  sampleRow,
  roiAlignRow,
  maxRoiPoolRow,
  determinantRow,
  uniformRow,
  lookupRow,
];
