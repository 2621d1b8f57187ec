const BYTE = "(?:\\d|[1-9]\\d|1\\d\\d|2[0-4]\\d|25[0-5])"
const IPV4 = new RegExp(`^127(?:\\.${BYTE}){3}$`)

/** Whether an address or name (without brackets or port) reaches this machine alone. Names below `localhost` need not: who
 *  answers for them is up to a resolver. */
export function isLoopback(host: string): boolean {
  const name = host.toLowerCase().replace(/\.$/, "")
  if (name === "localhost" || IPV4.test(name)) return true
  const url = `http://[${name}]`
  if (!/^[\da-f:.]+$/.test(name) || !URL.canParse(url)) return false
  // In its one short form; an IPv4 address in it is two of its numbers there.
  return /^\[::(?:1|ffff:7f[\da-f]{2}:[\da-f]{1,4})\]$/.test(new URL(url).hostname)
}
