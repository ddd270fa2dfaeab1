// A headless Chromium and its pages: files of this directory and client libraries, served over HTTP on this machine. A
// page reports events by calling `tell`.

import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BrowserContext, chromium, type Page } from 'playwright-core';
import type { Watch } from './watch.ts';

/** A host name that the browser resolves to this machine. */
export const STRANGER = 'stranger.example';

export const CHROMIUM = '/usr/bin/chromium';

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  // A foreign host name that resolves to this machine, as in a DNS rebinding attack.
  '--host-resolver-rules=MAP stranger.example 127.0.0.1',
];

interface File {
  readonly path: URL;
  readonly type: string;
}

const STOMP_JS: File = {
  path: new URL('../../node_modules/@stomp/stompjs/bundles/stomp.umd.min.js', import.meta.url),
  type: 'text/javascript; charset=utf-8',
};

const AMQP_JS: File = {
  path: new URL('../../node_modules/@cloudamqp/amqp-client/dist/amqp-websocket-client.mjs', import.meta.url),
  type: 'text/javascript; charset=utf-8',
};

export class Browser {
  private readonly watch: Watch;
  private readonly server: Server;
  private readonly home: string;
  private readonly context: BrowserContext;

  private constructor(watch: Watch, server: Server, home: string, context: BrowserContext) {
    this.watch = watch;
    this.server = server;
    this.home = home;
    this.context = context;
  }

  /** `html` names a file of this directory, which every page shows. */
  static async open(html: string, watch: Watch): Promise<Browser> {
    const files = new Map<string, File>([
      ['/', { path: new URL(html, import.meta.url), type: 'text/html; charset=utf-8' }],
      ['/stomp.js', STOMP_JS],
      ['/amqp.js', AMQP_JS],
    ]);
    const server = createServer(async (request, response) => {
      const file = files.get(new URL(request.url!, 'http://localhost').pathname);
      if (file === undefined) {
        response.writeHead(404).end();
        return;
      }
      response.writeHead(200, { 'content-type': file.type }).end(await readFile(fileURLToPath(file.path)));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const home = await mkdtemp(join(tmpdir(), 'trivium-browser-'));
    const context = await chromium.launchPersistentContext(home, { executablePath: CHROMIUM, args: FLAGS });
    return new Browser(watch, server, home, context);
  }

  /**
   * Opens a tab with the broker's WebSocket address in its query and resolves when it has loaded. `hosts` are the host
   * names by which the tab reaches the page's server and the broker.
   */
  async tab<Told>(
    port: number,
    hear: (told: Told) => void,
    hosts: { page: string; broker: string } = { page: '127.0.0.1', broker: '127.0.0.1' },
  ): Promise<Page> {
    const page = await this.context.newPage();
    page.on('pageerror', (error) => this.watch.fail(error));
    await page.exposeFunction('tell', hear);
    const broker = encodeURIComponent(`ws://${hosts.broker}:${port}/stomp`);
    await page.goto(`http://${hosts.page}:${(this.server.address() as AddressInfo).port}/?broker=${broker}`);
    return page;
  }

  async close(): Promise<void> {
    await this.context.close();
    this.server.close();
    await once(this.server, 'close');
    await rm(this.home, { recursive: true, force: true });
  }
}
