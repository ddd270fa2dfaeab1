// Reads the tables of docs/cross-protocol.md: rows by id, cells as the lines in their code spans.

import assert from 'node:assert/strict';

/** The lines of a cell; null for `–`. */
export type Cell = readonly string[] | null;

export interface Row {
  readonly id: string;
  readonly cells: readonly Cell[];
}

/**
 * The table after the comment `<!-- table: NAME -->`. Throws if a row or cell does not have the form that the page
 * describes.
 */
export function readTable(page: string, name: string): Row[] {
  const [, behind] = page.split(`<!-- table: ${name} -->\n`);
  assert.ok(behind !== undefined, `the page has no table '${name}'`);
  const lines = behind.trimStart().split('\n');
  const [heading, rule, ...rest] = lines.slice(
    0,
    lines.findIndex((line) => !line.startsWith('|')),
  );
  assert.match(rule!, /^[| -]+$/);
  const columns = heading!.split('|').length;
  const rows = rest.map((line) => {
    const parts = line.split('|');
    assert.equal(parts.length, columns, line);
    const [id, ...cells] = parts.slice(1, -1).map((part) => part.trim());
    assert.match(id!, /^[a-z0-9-]+$/, line);
    return { id: id!, cells: cells.map(readCell) };
  });
  assert.equal(new Set(rows.map(({ id }) => id)).size, rows.length, `ids of table '${name}' stand twice`);
  return rows;
}

/** The names of all tables on the page. */
export function tableNames(page: string): string[] {
  return [...page.matchAll(/^<!-- table: (.*) -->$/gm)].map((match) => match[1]!);
}

function readCell(text: string): Cell {
  if (text === '–') return null;
  assert.match(text, /^(`[^`]+` ?)+$/, `'${text}' is neither code spans nor –`);
  return [...text.matchAll(/`([^`]+)`/g)].map((match) => repeated(match[1]!));
}

/** Expands `(abc){3}` to `abcabcabc`. */
function repeated(text: string): string {
  return text.replace(/\(([^()]+)\)\{(\d+)\}/g, (_, part: string, times: string) => part.repeat(Number(times)));
}
