/** Whether an address or name (without brackets or port) reaches this machine alone. */
export function isLoopback(host: string): boolean {
  const name = host.toLowerCase().replace(/\.$/, "")
  return (
    name === "localhost" ||
    name.endsWith(".localhost") ||
    /^(::ffff:)?127(\.\d{1,3}){3}$/.test(name) ||
    /^(0{0,4}:){2,7}0{0,3}1$/.test(name)
  )
}
