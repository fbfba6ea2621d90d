/** The controller's own broker alone in a process: sends its address to the process that started it, and ends with that. */
import { pino } from 'pino';
import { startBroker } from '../fleet/controller/broker-io.ts';
import { onStop } from '../runtime/node/stop-io.ts';

const log = pino({ level: 'warn' }, pino.destination(2));
const broker = await startBroker({ host: '127.0.0.1', tcpPort: 0, webSocketPort: 0, log });
onStop(() => broker.close().then(() => process.exit(0)));
process.send?.({ url: `mqtt://127.0.0.1:${broker.tcpPort}` });
