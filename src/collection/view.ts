import type { DocSet } from "../engine/doc-set.ts"
import { releaseAll } from "./open-segments.ts"
import type { Segment } from "./segment.ts"

/** Segments of one moment with the documents that were live then. */
export interface PinnedView {
  readonly segments: readonly { readonly segment: Segment; readonly live: DocSet }[]
  readonly documentCount: number
  close(): Promise<void>
}

/** Holds segments and their live documents as they are now, for a reader that goes on across writes. */
export function pinView(segments: readonly Segment[]): PinnedView {
  const pinned = segments.map((segment) => ({ segment: segment.retain(), live: segment.copyOfLive() }))
  return {
    segments: pinned,
    documentCount: pinned.reduce((sum, { live }) => sum + live.count, 0),
    async close() {
      for (const { live } of pinned) live.close()
      await releaseAll(segments)
    },
  }
}
