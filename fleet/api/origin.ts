/**
 * Keeps web pages of strangers out: a browser on this machine would let any page send requests to a loopback port. A page
 * must come from the address it talks to (Origin, RFC 6454), and on a loopback port that address must be the loopback
 * name, or a stranger's name server could point its own name here (DNS rebinding).
 */
type Headers = Readonly<Record<string, string | string[] | undefined>>;

const LOOPBACK = ['127.0.0.1', 'localhost', '[::1]'];

/** Why a request must be refused, or undefined. @param boundTo the address that the server listens on */
export function originProblem(headers: Headers, boundTo: string): string | undefined {
  const name = hostOf(`http://${headers.host}`);
  if (isLoopback(boundTo) && name !== undefined && !LOOPBACK.includes(name))
    return `host "${name}": this controller listens on the loopback address only; ask for http://127.0.0.1`;
  if (typeof headers.origin !== 'string') return undefined;
  const origin = hostOf(headers.origin);
  if (origin !== undefined && (origin === name || (LOOPBACK.includes(origin) && isLoopback(boundTo)))) return undefined;
  return `origin "${headers.origin}": a web page may only talk to the controller that it came from`;
}

function hostOf(url: string): string | undefined {
  return URL.parse(url)?.hostname;
}

function isLoopback(address: string): boolean {
  return address === '::1' || address === 'localhost' || address.startsWith('127.');
}
