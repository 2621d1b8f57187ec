import { apiKeyCommands } from "./api-key-commands.ts"
import { archiveCommands } from "./archive-commands.ts"
import { benchmarkCommand } from "./benchmark-command.ts"
import { collectionCommands } from "./collection-commands.ts"
import { type Command, command, group } from "./command.ts"
import { completionScript, SHELLS } from "./completion.ts"
import { documentCommands } from "./document-commands.ts"
import { indexCommands } from "./index-commands.ts"
import { keyCommands } from "./key-commands.ts"
import { searchCommand } from "./search-command.ts"
import { serveCommand } from "./serve-command.ts"

/** Both names of the program. */
export const BIN_NAMES = ["prism", "prism-cli"] as const

const completion = command({
  name: "completion",
  description: "Print a script that completes commands, options and names",
  examples: [
    ['eval "$(prism completion bash)"', "bash: in ~/.bashrc"],
    ['eval "$(prism completion zsh)"', "zsh: in ~/.zshrc, after compinit"],
    ["prism completion fish > ~/.config/fish/completions/prism.fish", "fish"],
  ],
  args: {
    shell: { type: "positional", valueHint: "SHELL", options: SHELLS, description: "The shell that shall read it" },
  },
  async run(context, { shell }) {
    await context.print(completionScript(shell as (typeof SHELLS)[number], program, BIN_NAMES))
    return 0
  },
})

/** The whole command line, from which parsing, help and completion are made. */
export const program: Command = group({
  name: "prism",
  description: "Prism, a hybrid search engine: text, vectors, and archives that come back",
  details: [
    "Exit codes: 0 done, 1 error, 2 usage, 3 not found, 4 already exists, 5 integrity (damaged, cut off), 6 wrong key, " +
      "7 incompatible version, 8 partly done, 130 interrupted. Commands that only read work beside one that writes, and " +
      "on a folder that cannot be written.",
  ],
  examples: [
    ["prism collection create products --schema products.yaml", "make a collection"],
    ["prism document import -c products -f products.jsonl", "fill it"],
    ['prism search products "wireless keyboard"', "search it"],
    ["prism collection export products -o products.prism.jsonl", "take it away"],
  ],
  subCommands: [
    serveCommand,
    collectionCommands,
    archiveCommands,
    documentCommands,
    searchCommand,
    indexCommands,
    benchmarkCommand,
    keyCommands,
    apiKeyCommands,
    completion,
  ],
})
