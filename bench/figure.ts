// A measured number and its target. Micro benchmarks print a table for people, or JSON (`--json`) for `bench/main.ts`.

export interface Figure {
  readonly title: string;
  readonly value: number;
  readonly unit: string;
  /** `>= 300000`, `<= 20`, or empty. */
  readonly target: string;
}

export function printFigures(figures: readonly Figure[]): void {
  if (process.argv.includes('--json')) {
    process.stdout.write(`${JSON.stringify(figures)}\n`);
    return;
  }
  process.stdout.write(`${table(figures.map((figure) => [figure.title, formatted(figure), figure.target]))}\n`);
}

export function formatted(figure: Figure): string {
  return `${rounded(figure.value)} ${figure.unit}`;
}

/** Three significant digits, because a shared machine measures no better, with separators between thousands. */
export function rounded(value: number): string {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toLocaleString('en', { maximumFractionDigits: digits });
}

/** Aligned columns: the first is a title, the others are right-aligned. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length);
  }
  const line = (row: readonly string[]) =>
    row
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
      .join('   ')
      .trimEnd();
  return rows.map(line).join('\n');
}
