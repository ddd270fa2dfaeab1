// A browser that shows dashboard.html, and a ledger of the events that the page reports. The page reconnects by itself.

import type { Page } from 'playwright-core';
import { Browser } from './browser.ts';
import type { Watch } from './watch.ts';

/** The events that the page reports. */
type Told =
  | { readonly kind: 'subscribed' }
  | { readonly kind: 'closed' }
  | { readonly kind: 'message'; readonly destination: string; readonly body: string }
  | { readonly kind: 'error'; readonly message: string };

export interface Shown {
  readonly routingKey: string;
  readonly body: string;
}

/** From the RECEIPT for SUBSCRIBE to the end of the connection; `until` is infinite while it is open. */
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
  private readonly browser: Browser;
  private page: Page | null;

  private constructor(browser: Browser, watch: Watch) {
    this.shown = [];
    this.subscriptions = [];
    this.watch = watch;
    this.browser = browser;
    this.page = null;
  }

  /** Resolves when the page has loaded; it then connects by itself. */
  static async open(port: number, watch: Watch): Promise<Dashboard> {
    const browser = await Browser.open('dashboard.html', watch);
    const dashboard = new Dashboard(browser, watch);
    dashboard.page = await browser.tab<Told>(port, (told) => dashboard.hear(told));
    return dashboard;
  }

  /** Whether the page is subscribed now. */
  get subscribed(): boolean {
    return this.subscriptions.at(-1)?.until === Number.POSITIVE_INFINITY;
  }

  /** Whether a line published and confirmed at these times must be shown. */
  owes(fedAt: number, confirmedAt: number): boolean {
    return this.subscriptions.some(({ from, until }) => fedAt > from && confirmedAt < until);
  }

  /** The broker was killed, even if the page has not noticed: later confirms do not concern this connection. */
  interrupt(): void {
    this.endSubscription();
  }

  /** The rows that the page shows. */
  rows(): Promise<Row[]> {
    return this.page!.evaluate<Row[]>(`[...document.querySelectorAll('tbody tr')].map(({ cells }) => ({
      device: cells[0].textContent,
      count: Number(cells[1].textContent),
      last: Number(cells[2].textContent),
    }))`);
  }

  close(): Promise<void> {
    return this.browser.close();
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
