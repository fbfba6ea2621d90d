/**
 * Calls `stop` once: when this process is asked to end, or when the one that started it is gone. A parent that holds an
 * IPC channel to this process (stdio `ipc`) loses it however it dies, kill -9 included, when it can send no signal.
 * A second signal ends the process at once.
 */
export function onStop(stop: (reason: string) => void): void {
  let asked = false;
  const ask = (reason: string): void => {
    if (asked) return;
    asked = true;
    stop(reason);
  };
  process.once('SIGINT', ask).once('SIGTERM', ask);
  process.once('disconnect', () => ask('the process that started this one is gone'));
  // A process that has nothing left to do ends, whoever watches it.
  process.channel?.unref();
}
