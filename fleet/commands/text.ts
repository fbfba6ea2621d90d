/** Values as people read them in tables. */

export function bytesText(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

export function timeText(milliseconds: number | null): string {
  return milliseconds === null ? 'never' : new Date(milliseconds).toISOString().replace('T', ' ').slice(0, 19);
}

export function labelsText(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(' ');
}

export function dimsText(dims: readonly (number | string | null)[]): string {
  return `[${dims.map((dim) => dim ?? '?').join(', ')}]`;
}

/** Text that came from elsewhere, unable to command a terminal: control characters but tab and line end are shown as �. */
export function printable(text: string): string {
  return text.replace(/(?![\t\n])\p{Cc}/gu, '\uFFFD');
}
