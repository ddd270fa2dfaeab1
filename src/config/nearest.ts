// Finds the known name nearest to an unknown key, flag or variable, for a hint in the error.

/** The candidate with the fewest single-character edits, or null where none is near (a third of the name). */
export function nearest(name: string, candidates: Iterable<string>): string | null {
  let best: string | null = null;
  let fewest = Math.max(2, Math.floor(name.length / 3)) + 1;
  for (const candidate of candidates) {
    const edits = distance(name, candidate);
    if (edits < fewest) {
      fewest = edits;
      best = candidate;
    }
  }
  return best;
}

/** Edits by Levenshtein, and two letters that changed places (the commonest slip) as one; a row at a time. */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substituted = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const best = Math.min(substituted, row[j]! + 1, next[j - 1]! + 1);
      next.push(swapped ? Math.min(best, before[j - 2]! + 1) : best);
    }
    before = row;
    row = next;
  }
  return row[b.length]!;
}
