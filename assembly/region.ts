// Page-granular memory regions. Written first so that everything else builds; see the allocator's own text.
export function regionAlloc(bytes: usize): usize { return 0; }
export function regionFree(region: usize): void {}
export function regionPagesInUse(): u32 { return 0; }
