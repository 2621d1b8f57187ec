import type { OpenCollection } from "./collections.ts"
import type { Context } from "./context.ts"
import type { ProgressDisplay } from "./progress.ts"

/** Finishes the merges that are due: a command ends before they would by themselves. An interrupt leaves them to the next
 *  one and is no error, since everything is there already. */
export async function settle(
  context: Context,
  collection: OpenCollection,
  display: ProgressDisplay | undefined,
): Promise<void> {
  const { signal } = context
  try {
    await collection.settle({
      signal,
      ...(display && { onProgress: (done) => display.update({ ...done, stage: "merging" }) }),
    })
  } catch (error) {
    if (!signal.aborted) throw error
  }
  context.endProgress()
}
