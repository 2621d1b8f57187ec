// Regions: linear memory handed out in whole pages, and taken back.
//
// A region belongs to one structure (a segment, a writer's arena, the scratch of a query). Free regions form one list
// in ascending order of address, so that neighbours coalesce when they are freed. Allocation is first fit, which keeps
// long-lived regions low and the top of memory free. There are tens of regions, not millions: a linear list will do.
//
//   header, in front of the bytes that the caller sees, a cache line of 64 bytes
//     0..4   u32  pages   of the whole region, header included
//     4..8   u32  state   IN_USE, or FREE
//     8..12  u32  next    first page of the next free region, 0 at the end of the list; FREE regions only
//    12..64       unused
//
// Places are counted in pages, because 65,536 of them do not fit an address. The last page of the 4 GiB is never used:
// so the end of every region is an address too.

const PAGE_BITS: u32 = 16;
const PAGE_BYTES: usize = 1 << PAGE_BITS;
const PAGES_MAX: u32 = 65_535;
const HEADER_BYTES: usize = 64;
const PAGES_OFFSET: usize = 0;
const STATE_OFFSET: usize = 4;
const NEXT_OFFSET: usize = 8;
const IN_USE: u32 = 0x45535552; // "RUSE"
const FREE: u32 = 0x45524652; // "RFRE"

// The stub runtime's heap begins here, and is never used: nothing in assembly/ says `new`.
const firstPage: u32 = <u32>((__heap_base + PAGE_BYTES - 1) >> PAGE_BITS);
let firstFree: u32 = 0;
let pagesInUse: u32 = 0;

@inline function address(page: u32): usize { return <usize>page << PAGE_BITS; }
@inline function pagesOf(page: u32): u32 { return load<u32>(address(page), PAGES_OFFSET); }
@inline function nextOf(page: u32): u32 { return load<u32>(address(page), NEXT_OFFSET); }

@inline function link(previous: u32, page: u32): void {
  if (previous) store<u32>(address(previous), page, NEXT_OFFSET);
  else firstFree = page;
}

@inline function putFree(page: u32, pages: u32, next: u32): void {
  store<u32>(address(page), pages, PAGES_OFFSET);
  store<u32>(address(page), FREE, STATE_OFFSET);
  store<u32>(address(page), next, NEXT_OFFSET);
}

let dirtyPages: u32 = 0; // first pages of the region taken last that may hold something old

/** Takes `bytes` zeroed bytes, aligned to a cache line of 64. Returns their address, or 0 when 4 GiB are used up. */
export function regionAlloc(bytes: usize): usize {
  const region = regionReserve(bytes);
  if (region) memory.fill(region, 0, min<usize>(bytes, dirtyPages ? (address(dirtyPages) - HEADER_BYTES) : 0));
  return region;
}

/** The same, but the bytes hold anything: what nobody writes to needs no memory of the machine. */
export function regionReserve(bytes: usize): usize {
  const wanted64 = (<u64>bytes + HEADER_BYTES + PAGE_BYTES - 1) >> PAGE_BITS;
  if (wanted64 > <u64>PAGES_MAX) return 0;
  const wanted = <u32>wanted64;

  let previous: u32 = 0;
  let page = firstFree;
  let last: u32 = 0; // the free region with the highest address, and what points to it
  let beforeLast: u32 = 0;
  while (page) {
    if (pagesOf(page) >= wanted) break;
    beforeLast = last;
    last = page;
    previous = page;
    page = nextOf(page);
  }

  dirtyPages = wanted; // those that memory.grow brings are zero
  if (page) {
    const rest = pagesOf(page) - wanted;
    const next = nextOf(page);
    if (rest) {
      putFree(page + wanted, rest, next);
      link(previous, page + wanted);
    } else {
      link(previous, next);
    }
  } else {
    const end = max<u32>(<u32>memory.size(), firstPage);
    const joins = last != 0 && last + pagesOf(last) == end;
    dirtyPages = joins ? pagesOf(last) : 0;
    page = joins ? last : end;
    if (wanted > PAGES_MAX - page) return 0;
    if (memory.grow(<i32>(page + wanted - <u32>memory.size())) < 0) return 0;
    if (joins) link(beforeLast, 0);
  }

  store<u32>(address(page), wanted, PAGES_OFFSET);
  store<u32>(address(page), IN_USE, STATE_OFFSET);
  pagesInUse += wanted;
  return address(page) + HEADER_BYTES;
}

/** Gives a region back. 0 is ignored; anything else that is no region in use is a bug, and traps. */
export function regionFree(region: usize): void {
  if (!region) return;
  const header = region - HEADER_BYTES;
  if ((header & (PAGE_BYTES - 1)) != 0 || load<u32>(header, STATE_OFFSET) != IN_USE) unreachable();
  let page = <u32>(header >> PAGE_BITS);
  let pages = pagesOf(page);
  pagesInUse -= pages;

  let previous: u32 = 0;
  let beforePrevious: u32 = 0;
  let next = firstFree;
  while (next && next < page) {
    beforePrevious = previous;
    previous = next;
    next = nextOf(next);
  }
  store<u32>(header, FREE, STATE_OFFSET); // also inside a larger free region: freeing twice is noticed
  if (next && page + pages == next) {
    pages += pagesOf(next);
    next = nextOf(next);
  }
  if (previous && previous + pagesOf(previous) == page) {
    pages += pagesOf(previous);
    page = previous;
    previous = beforePrevious;
  }
  putFree(page, pages, next);
  link(previous, page);
}

/** Bytes that the caller of `regionAlloc` may use: what was asked for, rounded up to whole pages. */
export function regionCapacity(region: usize): usize {
  return address(pagesOf(<u32>(region >> PAGE_BITS))) - HEADER_BYTES;
}

/** Pages of 64 KiB that regions in use hold, headers included. */
export function regionPagesInUse(): u32 {
  return pagesInUse;
}
