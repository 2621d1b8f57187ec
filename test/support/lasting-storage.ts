import { MemoryStorage } from "../../src/storage/memory-storage.ts"

/** Memory storage that stays when it is closed, so that a test can open it again. */
export class LastingStorage extends MemoryStorage {
  override async close(): Promise<void> {}
}
