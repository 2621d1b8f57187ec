import { MemoryStorage } from "../../src/storage/memory-storage.ts"

/** Memory storage that stays when it is closed, so that a test can open it again. */
export class LastingStorage extends MemoryStorage {
  override async close(): Promise<void> {}

  /** What the death of the owner does: its lock is free, its files stay as they are. */
  async abandon(): Promise<void> {
    this.forgetOwners()
  }
}
