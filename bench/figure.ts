// A measured number with the bound that it is held against. What micro benchmarks print: a table for people, or JSON
// (`--json`) for the bench that ran them.

export interface Figure {
  readonly title: string;
  readonly value: number;
  readonly unit: string;
  /** `>= 300000`, `<= 20`, or nothing. */
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

/** Three significant digits are all that a benchmark on a shared machine is good for; thousands are set apart. */
export function rounded(value: number): string {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toLocaleString('en', { maximumFractionDigits: digits });
}

/** Columns set apart; the first is a title, the others are aligned to the right. */
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
