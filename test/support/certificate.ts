import { spawnSync } from "node:child_process"

export interface Certificate {
  readonly cert: string
  readonly key: string
}

/** A certificate for localhost and 127.0.0.1, signed by itself, in PEM; undefined where there is no openssl. */
export function selfSigned(): Certificate | undefined {
  const options =
    "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost -keyout - -out - " +
    "-addext subjectAltName=DNS:localhost,IP:127.0.0.1"
  const { status, stdout } = spawnSync("openssl", options.split(" "), { encoding: "utf8" })
  if (status !== 0) return undefined
  const part = (name: string) =>
    new RegExp(`-----BEGIN ${name}-----[^-]+-----END ${name}-----\n`).exec(stdout)?.[0] ?? ""
  return { cert: part("CERTIFICATE"), key: part("PRIVATE KEY") }
}
