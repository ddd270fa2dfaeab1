// What a fleet has published, and which publishes were acknowledged: the reference for checking deliveries.

import assert from 'node:assert/strict';
import type { QoS, Taken } from './fleet-device.ts';

export interface Published {
  readonly body: string;
  readonly publisher: string;
  readonly topic: string;
  readonly qos: QoS;
  /** Its position among all publishes, in the order of first sending. */
  readonly at: number;
  acknowledged: boolean;
  /** It was sent more than once, so that at QoS 1 it may be delivered more than once. */
  sentAgain: boolean;
  /** Its publisher's session ended before the acknowledgement. */
  abandoned: boolean;
}

export class FleetBook {
  private readonly byBody: Map<string, Published>;

  constructor() {
    this.byBody = new Map();
  }

  get size(): number {
    return this.byBody.size;
  }

  sent(publisher: string, topic: string, qos: QoS, body: string): void {
    const at = this.byBody.size;
    const published = { body, publisher, topic, qos, at, acknowledged: false, sentAgain: false, abandoned: false };
    this.byBody.set(body, published);
  }

  of(body: string): Published {
    const published = this.byBody.get(body);
    assert.ok(published !== undefined, `${body} was never published`);
    return published;
  }

  /** What a queue, session or group that existed from the beginning must have received. */
  owed(qos: QoS): Published[] {
    return [...this.byBody.values()].filter((each) => each.qos === qos && each.acknowledged);
  }

  /** No acknowledged message is missing. */
  requireAll(who: string, qos: QoS, bodies: ReadonlySet<string>): void {
    const missing = this.owed(qos).filter(({ body }) => !bodies.has(body));
    const names = missing.slice(0, 5).map(({ body }) => body);
    assert.equal(missing.length, 0, `${who} never got ${missing.length} of QoS ${qos}: ${names.join(', ')}, …`);
  }

  /** No message was delivered twice. */
  requireOnce(who: string, bodies: readonly string[]): void {
    const seen = new Set<string>();
    for (const body of bodies) {
      assert.ok(!seen.has(body), `${who} got ${body} twice`);
      seen.add(body);
    }
  }

  /**
   * Messages of one publisher, topic and QoS come in order: their first deliveries, and all deliveries over one
   * connection, except messages that the publisher resent.
   */
  requireOrder(who: string, taken: readonly Pick<Taken, 'body' | 'connection'>[]): void {
    const first = new Map<string, number>();
    const latest = new Map<string, number>();
    const seen = new Set<string>();
    for (const { body, connection } of taken) {
      const { publisher, topic, qos, at, sentAgain } = this.of(body);
      const stream = `${publisher} ${topic} ${qos}`;
      if (!seen.has(body)) {
        assert.ok(at > (first.get(stream) ?? -1), `${who} got ${body} behind a later one of its topic`);
        first.set(stream, at);
        seen.add(body);
      }
      if (sentAgain) continue;
      const here = `${stream} ${connection}`;
      assert.ok(at > (latest.get(here) ?? -1), `${who} got ${body} again behind a later one, connection ${connection}`);
      latest.set(here, at);
    }
  }
}
