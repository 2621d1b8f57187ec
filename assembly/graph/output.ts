// Output: what a call gives back, in working memory that the next call overwrites.
//    0..4   u32  valueBytes  a multiple of 8
//    4..8   u32  textCount
//    8..12  u32  textBytes
//   12..16  u32  total       how many there are of what is given in part
//   16..         values, each call's own
//   then         u32[textCount]: where each text ends, counted in UTF-16 units, so that all are decoded at once and cut
//   then         the texts, UTF-8
import { scratchTake, scratchTrim } from "../text/scratch";

const VALUE_BYTES_OFFSET: usize = 0;
const TEXT_COUNT_OFFSET: usize = 4;
const TEXT_BYTES_OFFSET: usize = 8;
const TOTAL_OFFSET: usize = 12;
const HEADER_BYTES: usize = 16;

let endAt: usize = 0;
let textAt: usize = 0;
let units: u32 = 0;

/** Begins an output for so many texts, of so many bytes together; false when memory is used up. */
export function beginOutput(valueBytes: usize, textCount: u32, textBytes: u64, total: u32): usize {
  const output = scratchTake(HEADER_BYTES + <u64>valueBytes + (<u64>textCount << 2) + textBytes);
  if (!output) return 0;
  store<u32>(output, <u32>valueBytes, VALUE_BYTES_OFFSET);
  store<u32>(output, textCount, TEXT_COUNT_OFFSET);
  store<u32>(output, <u32>textBytes, TEXT_BYTES_OFFSET);
  store<u32>(output, total, TOTAL_OFFSET);
  endAt = output + HEADER_BYTES + valueBytes;
  textAt = endAt + (<usize>textCount << 2);
  units = 0;
  return output;
}

@inline export function outputValues(output: usize): usize { return output + HEADER_BYTES; }

/** Adds the next text. */
export function putText(text: usize, length: u32): void {
  for (let i: u32 = 0; i < length; i++) {
    const byte = <u32>load<u8>(text + i);
    store<u8>(textAt + i, byte);
    units += <u32>((byte & 0xc0) != 0x80) + <u32>(byte >= 0xf0);
  }
  textAt += length;
  store<u32>(endAt, units);
  endAt += 4;
}

/** The output was read. */
export function graphOutputEnd(): void {
  scratchTrim();
}
