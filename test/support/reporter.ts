// The output of `npm test`: a line for each file, and at the end the details of all failures. The output of a file's
// process is shown only if the file failed.

import { relative } from 'node:path';
import { inspect } from 'node:util';

interface TestEvent {
  readonly type: string;
  readonly data: {
    readonly name?: string;
    readonly file?: string;
    readonly line?: number;
    readonly message?: string;
    readonly level?: string;
    readonly skip?: string | boolean;
    readonly success?: boolean;
    readonly duration_ms?: number;
    readonly counts?: {
      readonly tests: number;
      readonly passed: number;
      readonly failed: number;
      readonly skipped: number;
    };
    readonly details?: { readonly error?: { readonly cause?: unknown; readonly failureType?: string } };
  };
}

export default async function* report(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const failures: string[] = [];
  const output = new Map<string, string>();
  for await (const { type, data } of events) {
    const file = data.file === undefined ? '' : relative(process.cwd(), data.file);
    switch (type) {
      case 'test:diagnostic':
        // An error after its test had ended.
        if (data.level === 'error') output.set(file, `${output.get(file) ?? ''}${data.message}\n`);
        break;
      case 'test:stdout':
      case 'test:stderr':
        output.set(file, `${output.get(file) ?? ''}${data.message}`);
        break;
      case 'test:pass':
        if (typeof data.skip === 'string') yield `- ${file}: ${data.name} (left out: ${data.skip})\n`;
        break;
      case 'test:fail':
        // A suite fails because of its tests, which were reported already.
        if (data.details?.error?.failureType === 'subtestsFailed') break;
        failures.push(
          `✖ ${file}:${data.line}: ${data.name}\n${indent(inspect(data.details?.error?.cause, { depth: 5 }))}`,
        );
        break;
      case 'test:summary':
        if (data.file === undefined) {
          // The remaining output belongs to files that failed, or that exited before reporting.
          for (const [from, text] of output) failures.push(`output of ${from}:\n${indent(text)}`);
          yield `${total(data, failures)}\n`;
        } else {
          yield `${data.success ? '✔' : '✖'} ${file}  ${data.counts!.tests} tests, ${seconds(data.duration_ms!)}\n`;
          if (data.success) output.delete(file);
        }
        break;
      default:
    }
  }
}

function total(data: TestEvent['data'], failures: readonly string[]): string {
  const { tests, passed, failed, skipped } = data.counts!;
  const details = failures.length === 0 ? '' : `\n${failures.join('\n\n')}\n`;
  // The runner counts cancelled tests (time limit) neither as passed nor as failed; this reporter counts them as
  // failed.
  const broken = Math.max(failed, tests - passed - skipped);
  return `${details}\n${tests} tests in ${seconds(data.duration_ms!)}\n${passed} passed, ${broken} failed, ${skipped} skipped`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

function indent(text: string): string {
  return text.trimEnd().replaceAll(/^/gm, '    ');
}
