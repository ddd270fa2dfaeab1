// The output of a run: a table for people, JUnit XML for build servers, JSON for programs.

import { OUTCOME, type Result } from './runner.ts';

const MARK = { passed: '✔', failed: '✖', skipped: '–' } as const;

/** One line for a check, and the exchange after a failure. */
export function line({ check, outcome, message, notes }: Result, width: number): string {
  const head = `${MARK[outcome]} ${check.id.padEnd(width)}  ${check.level.padEnd(9)}  ${check.title}`;
  if (outcome === OUTCOME.passed) return head;
  const why = message.split('\n').map((text) => `    ${text}`);
  return [head, ...why, ...notes.map((note) => `      ${note}`)].join('\n');
}

/** All checks by protocol, then the totals. */
export function report(results: readonly Result[]): string {
  const width = Math.max(0, ...results.map(({ check }) => check.id.length));
  const lines: string[] = [];
  let heading = '';
  for (const result of results) {
    const { protocol, version } = result.check;
    const above = `${protocol.toUpperCase()} ${version}`;
    if (above !== heading) lines.push('', above);
    heading = above;
    lines.push(line(result, width));
  }
  return [...lines, '', summary(results), ''].join('\n');
}

export function summary(results: readonly Result[]): string {
  const { passed, failed, skipped } = counts(results);
  return `${results.length} checks: ${passed} passed, ${failed} failed, ${skipped} skipped`;
}

export function junit(results: readonly Result[]): string {
  const { failed, skipped } = counts(results);
  const cases = results.map(({ check, outcome, message, notes, durationMs }) => {
    const attributes = `classname="conformance.${check.protocol}" name="${escaped(check.id)}" time="${(durationMs / 1000).toFixed(3)}"`;
    if (outcome === OUTCOME.passed) return `  <testcase ${attributes}/>`;
    const text = escaped([check.title, message, ...notes].join('\n'));
    const inner =
      outcome === OUTCOME.failed
        ? `<failure message="${escaped(message)}">${text}</failure>`
        : `<skipped message="${escaped(message)}"/>`;
    return `  <testcase ${attributes}>${inner}</testcase>`;
  });
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuite name="conformance" tests="${results.length}" failures="${failed}" skipped="${skipped}">`,
    ...cases,
    '</testsuite>',
    '',
  ].join('\n');
}

export function json(results: readonly Result[]): string {
  const rows = results.map(({ check, outcome, message, durationMs }) => {
    const { id, protocol, version, section, level, title } = check;
    return { id, protocol, version, section, level, title, outcome, message, durationMs: Math.round(durationMs) };
  });
  return `${JSON.stringify({ ...counts(results), results: rows }, null, 2)}\n`;
}

export function counts(results: readonly Result[]): Record<'passed' | 'failed' | 'skipped', number> {
  const sums = { passed: 0, failed: 0, skipped: 0 };
  for (const { outcome } of results) sums[outcome]++;
  return sums;
}

/** XML allows no control characters except white space. */
function escaped(text: string): string {
  return text
    .replaceAll(/[^\t\n\r\u0020-\ud7ff\ue000-\uffff]/g, '·')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
