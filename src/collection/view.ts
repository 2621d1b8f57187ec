import type { DocSet } from "../engine/doc-set.ts"
import type { Manifest } from "../storage/manifest.ts"
import type { OpenLog } from "./generations.ts"
import { releaseAll } from "./open-segments.ts"
import type { Segment } from "./segment.ts"

/** Segments of one moment with the documents that were live then. */
export interface PinnedView extends AsyncDisposable {
  readonly segments: readonly { readonly segment: Segment; readonly live: DocSet }[]
  readonly documentCount: number
}

/** A view of a moment between two commits. */
export interface PinnedGeneration extends PinnedView {
  readonly manifest: Manifest
  /** Those that the view's RAM segments hold all documents of. */
  readonly logs: readonly OpenLog[]
}

/** Holds segments and their live documents as they are now, for a reader that goes on across writes. */
export function pinView(segments: readonly Segment[]): PinnedView {
  const pinned = segments.map((segment) => ({ segment: segment.retain(), live: segment.copyOfLive() }))
  return {
    segments: pinned,
    documentCount: pinned.reduce((sum, { live }) => sum + live.count, 0),
    async [Symbol.asyncDispose]() {
      for (const { live } of pinned) live.close()
      await releaseAll(segments)
    },
  }
}

/** The same with what the segments are made of. Between two commits alone: within one, a log is ahead of its segment. */
export function pinGeneration(source: {
  readonly segments: readonly Segment[]
  readonly manifest: Manifest
  readonly logs: readonly OpenLog[]
}): PinnedGeneration {
  const { manifest, logs } = source
  return { ...pinView(source.segments), manifest, logs }
}
