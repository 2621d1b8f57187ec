// What a thread of the codec runs. Nothing imports it: zstd.ts names it. Where it is left out of a bundle the calling thread
// does the work.
import { serveZstd } from "../runtime-node/zstd-threads.ts"
import { parentOfWebThread } from "./web-thread.ts"
import { codec } from "./zstd-here.ts"

serveZstd(
  parentOfWebThread,
  Promise.resolve({
    // What zlib gives may be a part of a larger buffer, and it is the buffer that is handed over.
    compress: (bytes) => new Uint8Array(codec.compress(bytes)),
    decompress: (frame, length) => new Uint8Array(codec.decompress(frame, length)),
  }),
)
