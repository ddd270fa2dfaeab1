// The commands of README.md's tour do what it says when they are pasted (with the ports of a broker of this test).

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { createBroker } from '../../src/broker.ts';
import { Command } from '../support/command.ts';
import { README } from '../support/config-reference.ts';

const ROOT = dirname(README);
const text = readFileSync(README, 'utf8');

test('the commands of the tour carry one message over three protocols', async (t) => {
  if (spawnSync('mosquitto_pub', ['--help']).error !== undefined) return t.skip('mosquitto_pub is not installed');
  const broker = await createBroker();
  t.after(() => broker.stop());
  const { amqp, mqtt, ws } = broker.ports;
  const paste = (start: string): Command => {
    const block = [...text.matchAll(/^```sh\n(.*?)^```/gms)]
      .map((match) => match[1]!)
      .find((each) => each.includes(start));
    assert.ok(block !== undefined, start);
    const here = block
      .replace('localhost:5672', `localhost:${amqp}`)
      .replace('localhost:15674', `localhost:${ws}`)
      .replace('-p 1883', `-p ${mqtt}`);
    return new Command(t, 'sh', ['-c', here], { cwd: ROOT });
  };
  const says = (wanted: string) => (line: string) => (line === wanted ? line : null);

  const backend = paste('"amqplib"');
  const browser = paste('"@stomp/stompjs"');
  await Promise.all([backend.line(says('the backend waits')), browser.line(says('the browser waits'))]);
  assert.equal((await paste('mosquitto_pub').finished()).code, 0);
  await backend.line(says('AMQP  sensors.oven.temperature 21.5'));
  await browser.line(says('STOMP /topic/sensors.oven.temperature 21.5'));
});
