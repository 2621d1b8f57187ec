// A client of bytes: it says what no proper HTTP client would, and sees what really comes back.
import { once } from "node:events"
import { connect, type Socket } from "node:net"
import { connect as connectTls } from "node:tls"

export class RawClient implements AsyncDisposable {
  readonly #socket: Socket
  /** What came and was not asked for yet. */
  #received = ""
  #ended = false
  #wake: () => void = () => {}
  /** Bytes that the system has taken. */
  sentBytes = 0

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.setEncoding("latin1")
    socket.on("data", (text: string) => {
      this.#received += text
      this.#wake()
    })
    const end = () => {
      this.#ended = true
      this.#wake()
    }
    socket.on("end", end).on("close", end).on("error", end)
  }

  /** To this machine; with `tls`, to a server whose certificate it trusts. */
  static async connect(port: number, tls?: { readonly ca?: string }): Promise<RawClient> {
    const address = { port, host: "127.0.0.1" }
    const socket = tls ? connectTls({ ...address, servername: "localhost", ...tls }) : connect(address)
    await once(socket, tls ? "secureConnect" : "connect")
    return new RawClient(socket)
  }

  /** Resolves when the system has taken the bytes, or the connection is gone. */
  async send(bytes: string | Uint8Array): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#socket.once("close", resolve)
      this.#socket.write(bytes, (error) => {
        if (!error) this.sentBytes += bytes.length
        this.#socket.off("close", resolve)
        resolve()
      })
    })
  }

  /** What has come up to `mark`, once that is there, or all where the connection ends before. */
  async until(mark: string): Promise<string> {
    for (let from = 0; ; ) {
      const at = this.#received.indexOf(mark, from)
      if (at >= 0 || this.#ended) return this.#take(at < 0 ? this.#received.length : at + mark.length)
      from = Math.max(0, this.#received.length - mark.length)
      await this.#more()
    }
  }

  /** As `until`, and nothing of it is kept but its end: for what is long. */
  async skipTo(mark: string): Promise<string> {
    while (!this.#received.includes(mark) && !this.#ended) {
      this.#received = this.#received.slice(-mark.length)
      await this.#more()
    }
    return await this.until(mark)
  }

  /** Everything until the other side has closed. */
  async rest(): Promise<string> {
    while (!this.#ended) await this.#more()
    return this.#take(this.#received.length)
  }

  #take(length: number): string {
    const text = this.#received.slice(0, length)
    this.#received = this.#received.slice(length)
    return text
  }

  #more(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  /** Goes without a word. */
  break(): void {
    this.#socket.destroy()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#socket.destroyed) return
    const closed = once(this.#socket, "close")
    this.#socket.destroy()
    await closed
  }
}
