// A program that embeds a broker: it starts it, exchanges one message over each protocol, stops it, and prints which
// resources are still open. It does not call exit, because the test shows that nothing keeps it alive. Its optional
// argument is the data directory.

import { once } from 'node:events';
import amqplib from 'amqplib';
import mqtt from 'mqtt';
import { createBroker } from '../../src/broker.ts';
import { tcp } from '../../support/raw-client.ts';
import { expectStomp, openStomp } from '../../support/raw-stomp.ts';
import * as stomp from '../../support/wire/stomp.ts';

const [dataDir] = process.argv.slice(2);
const broker = await createBroker(dataDir === undefined ? {} : { dataDir });

const connection = await amqplib.connect(`amqp://127.0.0.1:${broker.ports.amqp}`);
const channel = await connection.createConfirmChannel();
await channel.assertQueue('embedded', { durable: true });
await channel.bindQueue('embedded', 'amq.topic', '#');

const device = await mqtt.connectAsync(`mqtt://127.0.0.1:${broker.ports.mqtt}`, { protocolVersion: 4 });
await device.publishAsync('a/b', 'mqtt', { qos: 1 });
const browser = await openStomp(await tcp(broker.ports.stomp!));
browser.send(stomp.send('/topic/a.b', Buffer.from('stomp'), { receipt: 'sent', persistent: 'true' }));
await expectStomp(browser, 'RECEIPT');

let received = 0;
await new Promise<void>((resolve) => {
  channel.consume('embedded', (message) => {
    channel.ack(message!);
    if (++received === 2) resolve();
  });
});
await channel.close();

// The clients stay connected, so that the stop has to close them.
const deviceClosed = new Promise<void>((resolve) => {
  device.once('close', resolve);
});
const farewells = Promise.all([once(connection, 'close'), deviceClosed, browser.rest()]);
device.options.reconnectPeriod = 0;
await broker.stop();
await farewells;
await device.endAsync(true);

// Node counts a closed handle until the next event loop iteration.
process.on('beforeExit', () => {
  const left = process.getActiveResourcesInfo();
  process.stdout.write(`${JSON.stringify({ received, left })}\n`);
});
