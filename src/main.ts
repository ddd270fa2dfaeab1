// The command `trivium`. entry.js runs it with Node's compile cache. Code that only one subcommand needs is imported
// when that runs.

import { readArguments, UsageError } from './cli/arguments.ts';
import { EXIT } from './cli/exit-codes.ts';
import { ConfigError } from './config/config-error.ts';

try {
  const { command, flags } = readArguments(process.argv.slice(2));
  switch (command) {
    case 'start': {
      const { start } = await import('./cli/start.ts');
      await start(flags);
      break;
    }
    case 'precompile': {
      const { precompile } = await import('./cli/precompile.ts');
      await precompile();
      break;
    }
    case 'version': {
      const { VERSION } = await import('./version.ts');
      process.stdout.write(`trivium ${VERSION} (Node.js ${process.versions.node})\n`);
      break;
    }
    case 'help': {
      const { helpText } = await import('./cli/help.ts');
      process.stdout.write(helpText());
      break;
    }
    default:
      command satisfies never;
  }
} catch (error) {
  if (error instanceof UsageError) {
    process.stderr.write(`trivium: ${error.message}\nTry: trivium help\n`);
    process.exitCode = EXIT.usage;
  } else if (error instanceof ConfigError) {
    process.stderr.write(`trivium: ${error.message}\n`);
    process.exitCode = EXIT.config;
  } else throw error;
}
