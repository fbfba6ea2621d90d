/** Loaded before a process starts: programs are compiled as if nobody ever had to be let by, in instructions as long as they come. */
import { registerHooks } from 'node:module';

const LIMIT = /export const (FLOPS_MAX|TAPS_MAX|ELEMENTS_MAX) = ([\d_]+);/g;

registerHooks({
  load(url, context, next) {
    const loaded = next(url, context);
    if (!url.endsWith('/runtime/compile/writer.ts')) return loaded;
    const text = String(loaded.source);
    const uncut = text.replace(LIMIT, 'export const $1 = 2 ** 40;');
    if ([...text.matchAll(LIMIT)].length !== 3) throw new Error(`${url}: expected the three limits of an instruction`);
    return { ...loaded, source: uncut };
  },
});
