/** What the head of an answer tells of the archive in its body: bytes (of a portable one exactly, of others at the least), and
 *  what its own header says. */
export const ARCHIVE_HEADERS = {
  bytes: "prism-archive-bytes",
  documentCount: "prism-archive-documents",
  checksum: "prism-archive-checksum",
} as const
