// A browser: dashboard.html in a headless Chromium, served over HTTP on this machine, and the ledger of what the page
// says happened to it. The page connects again by itself.

import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BrowserContext, chromium, type Page } from 'playwright-core';
import type { Watch } from './watch.ts';

export const CHROMIUM = '/usr/bin/chromium';

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

const FILES: Readonly<Record<string, { path: URL; type: string }>> = {
  '/': { path: new URL('dashboard.html', import.meta.url), type: 'text/html; charset=utf-8' },
  '/stomp.js': {
    path: new URL('../../node_modules/@stomp/stompjs/bundles/stomp.umd.min.js', import.meta.url),
    type: 'text/javascript; charset=utf-8',
  },
};

/** What the page tells. */
type Told =
  | { readonly kind: 'subscribed' }
  | { readonly kind: 'closed' }
  | { readonly kind: 'message'; readonly destination: string; readonly body: string }
  | { readonly kind: 'error'; readonly message: string };

export interface Shown {
  readonly routingKey: string;
  readonly body: string;
}

/** From the RECEIPT of SUBSCRIBE to the end of the connection; `until` is infinite while it is open. */
export interface Subscription {
  readonly from: number;
  until: number;
}

export interface Row {
  readonly device: string;
  readonly count: number;
  readonly last: number;
}

export class Dashboard {
  readonly shown: Shown[];
  readonly subscriptions: Subscription[];
  private readonly watch: Watch;
  private readonly server: Server;
  private readonly home: string;
  private readonly context: BrowserContext;
  private readonly page: Page;

  private constructor(server: Server, home: string, context: BrowserContext, page: Page, watch: Watch) {
    this.shown = [];
    this.subscriptions = [];
    this.watch = watch;
    this.server = server;
    this.home = home;
    this.context = context;
    this.page = page;
  }

  /** Resolves when the page is loaded; it connects on its own. */
  static async open(port: number, watch: Watch): Promise<Dashboard> {
    const server = createServer(async (request, response) => {
      const file = FILES[new URL(request.url!, 'http://localhost').pathname];
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
    const page = await context.newPage();
    const dashboard = new Dashboard(server, home, context, page, watch);
    page.on('pageerror', (error) => watch.fail(error));
    await page.exposeFunction('tell', (told: Told) => dashboard.hear(told));
    const broker = encodeURIComponent(`ws://127.0.0.1:${port}/stomp`);
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/?broker=${broker}`);
    return dashboard;
  }

  /** Whether it is subscribed now. */
  get subscribed(): boolean {
    return this.subscriptions.at(-1)?.until === Number.POSITIVE_INFINITY;
  }

  /** Whether a line that was handed to its publisher and confirmed at these times had to be shown. */
  owes(fedAt: number, confirmedAt: number): boolean {
    return this.subscriptions.some(({ from, until }) => fedAt > from && confirmedAt < until);
  }

  /** The broker is dead, whether the page has noticed or not: what the next one confirms is not for this connection. */
  interrupt(): void {
    this.endSubscription();
  }

  /** What stands in the page. */
  rows(): Promise<Row[]> {
    return this.page.evaluate<Row[]>(`[...document.querySelectorAll('tbody tr')].map(({ cells }) => ({
      device: cells[0].textContent,
      count: Number(cells[1].textContent),
      last: Number(cells[2].textContent),
    }))`);
  }

  async close(): Promise<void> {
    await this.context.close();
    this.server.close();
    await once(this.server, 'close');
    await rm(this.home, { recursive: true, force: true });
  }

  private hear(told: Told): void {
    switch (told.kind) {
      case 'subscribed':
        this.subscriptions.push({ from: this.watch.tick(), until: Number.POSITIVE_INFINITY });
        break;
      case 'message':
        this.shown.push({ routingKey: told.destination.slice('/topic/'.length), body: told.body });
        this.watch.tick();
        break;
      case 'closed':
        this.endSubscription();
        break;
      case 'error':
        this.watch.fail(new Error(`the broker sent ERROR to the page: ${told.message}`));
        break;
      default:
        told satisfies never;
    }
  }

  private endSubscription(): void {
    const last = this.subscriptions.at(-1);
    const now = this.watch.tick();
    if (last !== undefined && last.until === Number.POSITIVE_INFINITY) last.until = now;
  }
}
