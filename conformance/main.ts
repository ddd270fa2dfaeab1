// `npm run conformance`: black-box checks of the protocols, against a broker of our own or any other one:
//
//   npm run conformance
//   npm run conformance -- amqp://guest:guest@localhost:5672 mqtt://localhost:1883 stomp://localhost:61613

import { createBroker } from '../src/broker.ts';
import { type Check, Wire } from './check.ts';
import { amqpChecks, type Credentials, mqttChecks, stompChecks } from './handshakes.ts';

const PROTOCOLS: Readonly<Record<string, { readonly port: number; checks(credentials: Credentials): Check[] }>> = {
  'amqp:': { port: 5672, checks: amqpChecks },
  'mqtt:': { port: 1883, checks: mqttChecks },
  'stomp:': { port: 61_613, checks: stompChecks },
};

/** How many checks failed. Prints a line for each. */
async function checkAll(urls: readonly string[]): Promise<number> {
  let failed = 0;
  for (const url of urls.map((text) => new URL(text))) {
    const protocol = PROTOCOLS[url.protocol];
    if (protocol === undefined) throw new Error(`${url.protocol}// is none of ${Object.keys(PROTOCOLS).join(' ')}`);
    const credentials = { user: url.username || 'guest', password: url.password || 'guest' };
    for (const { rule, run } of protocol.checks(credentials)) {
      const wire = await Wire.open(url.hostname, Number(url.port) || protocol.port);
      try {
        await run(wire);
        process.stdout.write(`✔ ${rule}\n`);
      } catch (error) {
        failed++;
        process.stdout.write(`✖ ${rule}\n    ${(error as Error).message.replaceAll('\n', '\n    ')}\n`);
      } finally {
        wire.close();
      }
    }
  }
  return failed;
}

const given = process.argv.slice(2);
if (given.length > 0) process.exitCode = (await checkAll(given)) === 0 ? 0 : 1;
else {
  const broker = await createBroker();
  const { amqp, mqtt, stomp } = broker.ports;
  const own = [`amqp://127.0.0.1:${amqp}`, `mqtt://127.0.0.1:${mqtt}`, `stomp://127.0.0.1:${stomp}`];
  process.exitCode = (await checkAll(own)) === 0 ? 0 : 1;
  await broker.stop();
}
