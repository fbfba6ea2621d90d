/**
 * The choice of a build, kept in a small file, so that a process need not try the kernels each time it starts. It counts for one
 * machine, one V8 and one set of binaries; whatever is wrong with the file, the kernels are tried anew.
 */
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { cpus, homedir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import type { BuildChoice } from './choose-build.ts';
import { binaryOf, kernelBuilds } from './kernels.ts';

const FILE = 'kernels.json';
const NOTES_MAX = 10;

interface Kept extends BuildChoice {
  readonly madeFor: string;
}

/** The user's own folder for what can be made again (XDG Base Directory Specification 0.8). */
export function cacheFolder(): string {
  const given = process.env.XDG_CACHE_HOME;
  // The specification has relative paths ignored.
  return join(given?.startsWith('/') ? given : join(homedir(), '.cache'), 'llmasos');
}

/** Holds the first processor's name. For each one that is read about, Linux asks for its present frequency. */
const CPUINFO_BYTES = 512;

/** As `os.cpus` names it, which takes half a millisecond. */
function processor(): string {
  let file: number | undefined;
  try {
    file = openSync('/proc/cpuinfo', 'r');
    const head = Buffer.alloc(CPUINFO_BYTES);
    const length = readSync(file, head);
    const name = /^model name\s*: (.*)\n/m.exec(head.toString('latin1', 0, length))?.[1];
    if (name) return name;
  } catch {
    // Other systems have no such file.
  } finally {
    if (file !== undefined) closeSync(file);
  }
  return cpus()[0]?.model ?? 'unknown processor';
}

let known: string | undefined;

/** What a choice, and compiled code, depend on. */
export function circumstances(): string {
  if (known) return known;
  // Both binaries come from one source: they change together.
  const kernels = crc32(binaryOf('relaxed')).toString(16);
  known = [process.platform, process.arch, processor(), `V8 ${process.versions.v8}`, `kernels ${kernels}`].join(', ');
  return known;
}

/** The choice that was made here before; undefined when there is none, or none that holds. */
export function recallBuild(folder: string): BuildChoice | undefined {
  let kept: Partial<Kept>;
  try {
    kept = JSON.parse(readFileSync(join(folder, FILE), 'utf8')) ?? {};
  } catch {
    return undefined;
  }
  const { madeFor, build, notes } = kept;
  if (madeFor !== circumstances() || !kernelBuilds.some((name) => name === build)) return undefined;
  if (!Array.isArray(notes) || notes.length > NOTES_MAX || !notes.every((note) => typeof note === 'string'))
    return undefined;
  return { build: build as BuildChoice['build'], notes };
}

/** Keeps a choice. False where nothing can be written. Readers see the old file or the new one, whole. */
export function keepBuild(folder: string, { build, notes }: BuildChoice): boolean {
  const file = join(folder, FILE);
  const part = `${file}.${process.pid}.part`;
  try {
    mkdirSync(folder, { recursive: true });
    writeFileSync(part, `${JSON.stringify({ madeFor: circumstances(), build, notes } satisfies Kept, null, 2)}\n`);
    renameSync(part, file);
    return true;
  } catch {
    if (existsSync(part)) rmSync(part);
    return false;
  }
}
