// `trivium help`: the commands, and every flag of the schema with its default and allowed values.

import { SECTIONS } from '../config/keys.ts';
import { allowed, written } from '../config/leaf.ts';

export function helpText(): string {
  const lines = [
    'trivium <command> [flags]',
    '',
    '  start        serve AMQP, MQTT, STOMP, WebSocket and HTTP until SIGTERM or SIGINT',
    '  precompile   compile ahead what the first start would compile',
    '  version      say which version this is',
    '  help         say this',
    '',
    'Each flag is also a variable (--amqp-port: TRIVIUM_AMQP_PORT) and a key in YAML (amqp.port).',
    'Flags beat variables, variables beat the file.',
    '',
    '  --config <file>',
    '      A YAML file with any of the keys.',
  ];
  for (const section of SECTIONS) {
    lines.push('', `${section.title}:`, '');
    for (const { flag, leaf } of section.keys) {
      const standard = leaf.secret === true ? '' : written(leaf, leaf.default);
      const facts = [allowed(leaf), ...(standard === '' ? [] : [`default ${standard}`])];
      lines.push(`  --${flag}`, `      ${plain(leaf.description!)} (${plain(facts.join('; '))})`);
    }
  }
  return `${lines.join('\n')}\n`;
}

/** Backquotes are for Markdown only. */
function plain(text: string): string {
  return text.replaceAll('`', '');
}
