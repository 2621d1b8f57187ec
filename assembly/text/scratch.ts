// Memory that lives from one call to the next only to spare its allocation: the input that TypeScript writes for a call
// and the working memory of a query. Both go back when the last text index is closed; giants go back at once.
import { regionAlloc, regionCapacity, regionFree } from "../region";

const PADDING: usize = 16; // readable behind an input: tokens are hashed eight bytes at a time
const KEPT_BYTES_MAX: usize = 4 << 20;

let input: usize = 0;
let scratch: usize = 0;
let users: u32 = 0; // text indexes that are open

export function scratchRetain(): void {
  users++;
}

export function scratchRelease(): void {
  users--;
  scratchTrim();
}

/** Frees what is not worth keeping. Called when neither input nor scratch is needed any more. */
export function scratchTrim(): void {
  if (input && (users == 0 || regionCapacity(input) > KEPT_BYTES_MAX)) {
    regionFree(input);
    input = 0;
  }
  if (scratch && (users == 0 || regionCapacity(scratch) > KEPT_BYTES_MAX)) {
    regionFree(scratch);
    scratch = 0;
  }
}

/** Where TypeScript writes up to `bytes` bytes for the next call; 0 when memory is used up. */
export function textInput(bytes: usize): usize {
  if (input && regionCapacity(input) >= bytes + PADDING) return input;
  regionFree(input);
  input = 0;
  if (bytes > bytes + PADDING) return 0; // past 4 GiB
  input = regionAlloc(bytes + PADDING);
  return input;
}

@inline export function inputAddress(): usize { return input; }

/** `bytes` bytes of working memory, 64-byte aligned, holding anything; 0 when memory is used up. */
export function scratchTake(bytes: u64): usize {
  if (bytes > 0xf000_0000) return 0;
  if (scratch && regionCapacity(scratch) >= <usize>bytes) return scratch;
  regionFree(scratch);
  scratch = regionAlloc(<usize>bytes);
  return scratch;
}
