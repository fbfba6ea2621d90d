/** What a controller answers while another one leads: that it does, and where. */
import { Hono } from 'hono';
import type { Logger } from 'pino';
import { SCRAPE_HEADERS } from '../../runtime/telemetry/telemetry-io.ts';
import type { Leader } from './leadership-io.ts';

export interface Standby {
  waitFor(leader: Leader): void;
}

export function createStandby(serve: (app: Hono) => void, scrape: () => Promise<string>, log: Logger): Standby {
  let known: Leader | undefined;
  const start = (): void => {
    const app = new Hono();
    app.get('/metrics', async (context) => context.text(await scrape(), 200, SCRAPE_HEADERS));
    app.all('*', (context) => {
      const error = `this controller waits: ${known?.holder} leads, at ${known?.url}; ask there`;
      return context.json({ ok: false, error, leader: known?.url }, 503, { 'retry-after': '1' });
    });
    serve(app);
  };
  return {
    waitFor(leader) {
      if (known === undefined) start();
      if (known?.holder !== leader.holder) log.info(leader, 'another controller leads; waiting to take over');
      known = leader;
    },
  };
}
