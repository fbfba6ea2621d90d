/** Puts the demonstration's models and triggers into the controller. Twice does no more than once. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ControllerService } from '../../fleet/controller/service.ts';
import { parseTrigger } from '../../runtime/triggers/trigger-file.ts';
import { type DemoModel, demoModels } from './models.ts';
import { demonstration } from './places.ts';

const folder = join(demonstration, 'triggers');

export async function install(controller: ControllerService, say: (line: string) => void): Promise<void> {
  const known = new Set((await controller.models()).map(({ name, sha256 }) => `${name} ${sha256}`));
  const register = async ({ name, file, labels }: DemoModel): Promise<void> => {
    const bytes = readFileSync(file);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    if (known.has(`${name} ${sha256}`)) return;
    say(`Registering the model ${name} (${(bytes.length / 1e6).toFixed(1)} MB)`);
    await controller.putBlob(
      sha256,
      (async function* () {
        yield bytes;
      })(),
    );
    await controller.addModel(name, sha256, labels);
  };
  await Promise.all(demoModels().map(register));
  for (const file of readdirSync(folder)) {
    const trigger = parseTrigger(readFileSync(join(folder, file), 'utf8'), file);
    // "city-speech" goes to the nodes in the city: triggers are named by the place that they are for.
    await controller.putTrigger(trigger, { labels: { place: trigger.name.split('-')[0] as string } });
  }
}
