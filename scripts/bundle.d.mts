/** Bundles code into a folder, `entries` and `workers` by their names there, with the kernels beside it. */
export function bundle(
  folder: string,
  files: { entries: Readonly<Record<string, string>>; workers: Readonly<Record<string, string>> },
): Promise<void>;
