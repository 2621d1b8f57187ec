declare module "zstd-codec/lib/zstd-codec-binding.js" {
  /** zstd, compiled by Emscripten: what of it we use. */
  export interface Binding {
    readonly ZstdDecompressStreamBinding: new () => DecompressStream
  }

  export interface DecompressStream {
    begin(): boolean
    /** False where the input cannot be decoded. */
    transform(bytes: Uint8Array, onOutput: (bytes: Uint8Array) => void): boolean
    flush(onOutput: (bytes: Uint8Array) => void): boolean
    delete(): void
  }

  export interface Options {
    /** Bytes of its memory, which does not grow: a multiple of 16 MiB. */
    readonly TOTAL_MEMORY?: number
    print(text: string): void
    printErr(text: string): void
    onRuntimeInitialized(): void
  }

  /** Fills `options` with the binding. */
  export default function bind(options: Options): void
}

declare module "zstd-codec/lib/zstd-codec-binding-wasm.js" {
  export { default } from "zstd-codec/lib/zstd-codec-binding.js"
}
