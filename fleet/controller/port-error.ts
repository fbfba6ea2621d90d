const reasons: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the port is in use; stop what listens there or choose another port',
  EACCES: 'this user may not listen there; choose a port above 1023',
  EADDRNOTAVAIL: 'this machine does not have that address',
};

/** A port or address that cannot be had: the person who started the controller must choose another. */
export class PortError extends Error {
  /** @param flag how a person chooses the port */
  constructor(host: string, port: number, flag: string, cause: Error) {
    const code = (cause as NodeJS.ErrnoException).code ?? '';
    super(`${flag} ${port} on ${host}: ${reasons[code] ?? cause.message}`, { cause });
    this.name = 'PortError';
  }
}
