// The port to where collections live: local files, memory, later object stores. Types only.
//
// Paths are relative to the root of the storage and "/"-separated; each name in them matches [A-Za-z0-9._-]{1,200} and
// is neither "." nor "..": anything else is PATH_NOT_ALLOWED. "" is the root, where a folder is meant.
//
// Every call may fail with PERMISSION_DENIED, READ_ONLY, DISK_FULL, IO_ERROR or CLOSED; the error's place is the path.
//
// Durable means: still there after the machine lost power. Bytes become durable by `WritableFile.sync`, entries of a
// folder (a file made, renamed or removed in it) by `syncDirectory` of that folder. Without them a crash may keep any
// part of what was done since, in any order; a rename alone is never seen half done.

export interface Storage extends AsyncDisposable {
  /** A folder that another thread may open as a storage for itself; undefined where only this object reaches the data. */
  readonly location: string | undefined

  /** All of a file, or exactly `range.length` bytes from `range.offset`. FILE_NOT_FOUND; TRUNCATED where the file ends
   *  before the range does. The caller owns the array. */
  read(path: string, range?: { readonly offset: number; readonly length: number }): Promise<Uint8Array>

  /** Opens a file for reads at any place. It stays readable until it is closed, even when it is renamed, replaced or
   *  removed meanwhile. FILE_NOT_FOUND. */
  open(path: string): Promise<ReadableFile>

  /** Byte length of a file, or undefined where there is none (a folder is none). */
  size(path: string): Promise<number | undefined>

  /** What is directly in a folder, ordered by name; nothing where there is no such folder. */
  list(directory: string): Promise<StorageEntry[]>

  /** Makes a new, empty file. FILE_EXISTS where the name is taken, by a link too; FILE_NOT_FOUND where the folder is
   *  missing. The file's name is durable only after `syncDirectory` of its folder. */
  create(path: string): Promise<WritableFile>

  /** Opens an existing file to append after its first `length` bytes; what follows them is cut off, durably, before
   *  this resolves. FILE_NOT_FOUND; TRUNCATED where the file is shorter than `length`. */
  append(path: string, length: number): Promise<WritableFile>

  /** Gives a file or folder another name. At `to` a file is replaced: whoever looks sees the old one or the new one.
   *  A folder replaces nothing: FILE_EXISTS. Durable after `syncDirectory` of both folders. */
  rename(from: string, to: string): Promise<void>

  /** Removes a file; an absent one is fine. Durable after `syncDirectory` of its folder. */
  remove(path: string): Promise<void>

  /** Makes a folder and those it lies in; one that is there is fine. Durable when it resolves. */
  makeDirectory(path: string): Promise<void>

  /** Removes a folder with all that is in it; an absent one is fine. Durable after `syncDirectory` of the folder it lay
   *  in. A crash may leave any part of it: give it a name that nobody reads first. */
  removeDirectory(path: string): Promise<void>

  /** Makes durable what was made, renamed or removed directly in the folder. */
  syncDirectory(path: string): Promise<void>

  /** Becomes the only writer of this storage. LOCKED names the process that is it now; what a dead process left is
   *  taken over. Every other call works without the lock: who writes takes it first. Once another owner took over from
   *  the one that this object holds, every call here that would change something is LOCK_LOST. */
  lock(): Promise<StorageLock>

  /** Makes a file that counts as long as its owner lives, with the folder that it lies in; never durable. FILE_EXISTS;
   *  PERMISSION_DENIED, READ_ONLY or DISK_FULL where nothing can be written. A storage that was opened to be read only
   *  takes holds too. */
  hold(path: string, content: string): Promise<StorageHold>

  /** The held files directly in a folder whose owner lives, ordered by name. Those of dead owners are removed, where
   *  that is possible. */
  held(directory: string): Promise<{ readonly name: string; readonly content: string }[]>

  /** Bytes that the storage has room for, where that can be told. */
  freeBytes(): Promise<number | undefined>

  /** Releases the lock, if held; every later call is CLOSED. Files that are open stay so. Twice is fine. */
  close(): Promise<void>
}

export interface StorageEntry {
  readonly name: string
  readonly kind: "file" | "directory"
}

export interface ReadableFile extends AsyncDisposable {
  readonly path: string
  /** Byte length when it was opened. */
  readonly size: number
  /** Exactly `length` bytes from `offset`; TRUNCATED where the file ends before. Calls may overlap. The caller owns the
   *  array. A file that is still appended to may be read past `size`, up to what the append has resolved for. */
  read(offset: number, length: number): Promise<Uint8Array>
  /** Twice is fine. */
  close(): Promise<void>
}

/** Appends only. One call at a time: await each before the next. */
export interface WritableFile extends AsyncDisposable {
  readonly path: string
  /** Bytes before this file's end, synced or not. After a failed append it is not known what is there. */
  readonly length: number
  /** Writes all bytes or rejects; a rejected or interrupted append may leave any part of them. Readable at once,
   *  durable after `sync`. */
  append(bytes: Uint8Array): Promise<void>
  /** `append` and `sync` in one, as cheap as the storage can. After DISK_FULL the file goes on once what was written is
   *  cut off; after any other error it is to be given up, as after a failed sync. */
  appendDurably(bytes: Uint8Array): Promise<void>
  /** Lets the next `byteLength` bytes that are appended need no new space: durable zeros behind the end, which then
   *  belong to what is read of the file, but not to `length`. A storage to which that means nothing does nothing. */
  reserve(byteLength: number): Promise<void>
  /** Cuts the file off after its first `length` bytes, durably, with what was reserved behind them; appends go on from
   *  there. */
  cut(length: number): Promise<void>
  /** Writes bytes from `offset` on that are there already, over themselves: so the next sync brings them to the disk, also
   *  where one of an earlier process had failed and given them up. */
  rewrite(bytes: Uint8Array, offset: number): Promise<void>
  /** Makes durable every byte appended before the call. When it rejects, what was appended since the last sync may be
   *  lost although it can be read now, and another sync must not be trusted: give the file up. */
  sync(): Promise<void>
  /** Does not sync. Twice is fine. */
  close(): Promise<void>
}

export interface StorageLock extends AsyncDisposable {
  /** True where the owner before did not give the lock back: it died, or was silent for too long. */
  readonly isTakeover: boolean
  /** Resolves while no other process can have taken over, else LOCK_LOST. What was synced before the call is seen by
   *  every later owner: call it after the sync and before the acknowledgement. Cheap while heartbeats are fresh. */
  assertHeld(): Promise<void>
  /** Tells other processes a short text (1 KiB), in place of what was told before, until the release: where a server
   *  listens, as an example. Only who may read the folder's files for their owner hears it. LOCK_LOST. */
  announce(text: string): Promise<void>
  /** Twice is fine. */
  release(): Promise<void>
}

export interface StorageHold extends AsyncDisposable {
  /** Removes the file. Twice is fine. */
  release(): Promise<void>
}
