// The part of Deno that is used here, typed: the compiler that builds this package knows Node only.

export interface DenoFile extends Disposable {
  write(bytes: Uint8Array): Promise<number>
  seek(offset: number, whence: 0 | 1 | 2): Promise<number>
  truncate(length: number): Promise<void>
  sync(): Promise<void>
  syncData(): Promise<void>
  close(): void
  readonly readable: ReadableStream<Uint8Array>
}

export interface DenoHttpServer {
  readonly addr: { readonly port: number }
  readonly finished: Promise<void>
  shutdown(): Promise<void>
}

export interface DenoApi {
  readonly version: { readonly deno: string }
  readonly pid: number
  readonly permissions: {
    querySync(descriptor: { name: "read"; path: URL }): { state: "granted" | "prompt" | "denied" }
  }
  readonly env: { get(name: string): string | undefined }
  readonly stdin: { readonly readable: ReadableStream<Uint8Array>; isTerminal(): boolean }
  readonly stdout: { write(bytes: Uint8Array): Promise<number>; isTerminal(): boolean }
  readonly stderr: { writeSync(bytes: Uint8Array): number; isTerminal(): boolean }
  open(
    path: string,
    options: { read?: boolean; write?: boolean; createNew?: boolean; mode?: number },
  ): Promise<DenoFile>
  stat(path: string): Promise<{ isFile: boolean; isDirectory: boolean; size: number }>
  lstat(path: string): Promise<{ isSymlink: boolean }>
  realPath(path: string): Promise<string>
  readDir(path: string): AsyncIterable<{ name: string; isFile: boolean; isDirectory: boolean }>
  rename(from: string, to: string): Promise<void>
  link(from: string, to: string): Promise<void>
  remove(path: string, options?: { recursive: boolean }): Promise<void>
  mkdir(path: string, options: { mode: number }): Promise<void>
  consoleSize(): { columns: number }
  addSignalListener(signal: "SIGINT" | "SIGTERM", listener: () => void): void
  removeSignalListener(signal: "SIGINT" | "SIGTERM", listener: () => void): void
  exit(code: number): never
  serve(
    options: {
      hostname: string
      port: number
      cert?: string
      key?: string
      signal: AbortSignal
      onListen: () => void
    },
    handler: (request: Request, info: { readonly remoteAddr: { readonly hostname: string } }) => Promise<Response>,
  ): DenoHttpServer
}

export const deno: DenoApi = (globalThis as unknown as { Deno: DenoApi }).Deno
