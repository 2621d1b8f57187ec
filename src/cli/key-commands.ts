import { encodeUtf8 } from "../base/bytes.ts"
import type { KeyChange } from "../formats/encrypted-header.ts"
import { generateKey, type Key } from "../formats/key.ts"
import { noteStaleChecksum } from "./checksum-file.ts"
import { command, group } from "./command.ts"
import { formatBytes, printable } from "./format.ts"
import { KEY_FILE, PASSPHRASE_FILE, readKeys } from "./key-file.ts"
import { usageError } from "./parse.ts"
import { rotateFile } from "./rotate-file.ts"

const generate = command({
  name: "generate",
  description: "Make a key for encrypted archives",
  details: [
    "A key is 32 random bytes, written as 64 hex characters. Whoever has it can read every archive that was encrypted with " +
      "it, and without it nobody can, so keep it where the archives are not, and keep it twice.",
  ],
  examples: [
    ["prism key generate -o backup.key", "into a file that only you can read"],
    ["prism key generate", "to stdout"],
  ],
  args: {
    output: {
      type: "string",
      alias: "o",
      valueHint: "FILE",
      description: "Where it goes, a file that is not there yet (else stdout, also -)",
    },
  },
  async run(context, { output }) {
    const key = generateKey()
    const facts = { key_bytes: 32, algorithm: "AES-256-GCM" }
    if (output === undefined || output === "-") {
      if (context.json) await context.printJson({ key, ...facts })
      else await context.print(key)
      return 0
    }
    if (output === "") throw usageError("--output is empty", "name a file, or - for stdout")
    const writer = (await context.runtime.files.write(output, { replace: false })).getWriter()
    await writer.write(encodeUtf8(`${key}\n`))
    await writer.close()
    if (context.json) await context.printJson({ output_path: output, ...facts })
    else await context.print(`Wrote a new key to ${printable(output)}, which only you can read`)
    return 0
  },
})

const rotate = command({
  name: "rotate",
  description: "Change who can open an encrypted archive",
  details: [
    "The old key makes way for the new one; with --add both open the archive from then on, with --remove the old one goes " +
      "and the others stay. The payload stays as it is. The new file is written beside the old one, synced and read again " +
      "before it takes its place.",
    "Whoever has the old key and a copy of the old file can still read that copy. A key that may be known to others needs " +
      "--rekey, which encrypts the payload anew for the new key (with --add for both); every other key of the archive is " +
      "gone then. An archive of version 1 can change only so, and becomes one of version 2.",
  ],
  examples: [
    ["prism key rotate products.enc --key-file old.key --new-key-file new.key", "another key"],
    ["prism key rotate products.enc --key-file my.key --new-passphrase-file escrow.txt --add", "a second way in"],
    ["prism key rotate products.enc --key-file leaver.key --remove", "one way in less"],
  ],
  args: {
    file: { type: "positional", valueHint: "FILE", description: "The archive" },
    "key-file": KEY_FILE,
    "passphrase-file": PASSPHRASE_FILE,
    "new-key-file": { ...KEY_FILE, description: "File with the new key" },
    "new-passphrase-file": { ...PASSPHRASE_FILE, description: "File whose first line is the new passphrase" },
    add: { type: "boolean", description: "Let the old key open the archive too" },
    remove: { type: "boolean", description: "Take the old key away, and give no new one" },
    rekey: { type: "boolean", description: "Encrypt the payload anew" },
  },
  async run(context, args) {
    const { file, add, remove, rekey = false } = args
    const oldFiles = { keyFile: args["key-file"], passphraseFile: args["passphrase-file"] }
    const newFiles = { keyFile: args["new-key-file"], passphraseFile: args["new-passphrase-file"] }
    const [oldCount, newCount] = [oldFiles, newFiles].map((files) => Object.values(files).filter(Boolean).length)
    if (oldCount !== 1) {
      throw usageError(
        oldCount === 0 ? "No key is given that opens the archive" : "Two keys are given that may open the archive",
        "name one of them with --key-file FILE or --passphrase-file FILE",
      )
    }
    if (remove && (add || rekey || newCount !== 0)) {
      throw usageError("--remove takes no new key", "add and remove one after the other")
    }
    if (!remove && newCount !== 1) {
      throw usageError("One new key is needed", "name it with --new-key-file FILE or --new-passphrase-file FILE")
    }
    if (Object.values(oldFiles).includes("-") && Object.values(newFiles).includes("-")) {
      throw usageError("Old and new key both come from stdin", "put one of them into a file")
    }
    const [old] = (await readKeys(context, oldFiles)) as [Key]
    const [key] = await readKeys(context, newFiles)
    const change: KeyChange = key === undefined ? { remove: true } : add ? { add: key } : { replace: key }
    const { sizeBytes, fileSha256 } = await rotateFile(context, file, old, change, { rekey })

    if (context.json) {
      await context.printJson({ success: true, file, rekeyed: rekey, size_bytes: sizeBytes, file_sha256: fileSha256 })
    } else {
      const done = remove ? "Removed the key from" : add ? "Added the key to" : "Changed the key of"
      await context.print(
        `${done} ${printable(file)} (${formatBytes(sizeBytes)}${rekey ? ", encrypted anew" : ""})\n` +
          `SHA-256 of the file: ${fileSha256}`,
      )
    }
    await noteStaleChecksum(context, file)
    return 0
  },
})

export const keyCommands = group({
  name: "key",
  description: "Keys of encrypted archives",
  examples: [
    ["prism key generate -o products.key", "a new key"],
    ["prism key rotate products.enc --key-file products.key --new-key-file new.key", "another key for an archive"],
  ],
  subCommands: [generate, rotate],
})
