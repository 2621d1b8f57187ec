import { command } from "./command.ts"

export const serveCommand = command({
  name: "serve",
  description: "Answer over HTTP",
  details: [
    "Without API keys it listens to this machine alone. The data directory is made where there is none (./data by default).",
    "SIGTERM or SIGINT lets requests and jobs finish, for drain_secs at most, then closes the collections; a second one ends " +
      "it at once. What is acknowledged is durable either way.",
    "The environment may set PRISM_HOST, PRISM_PORT, PRISM_LOG, PRISM_API_KEYS, PRISM_CONFIG_PATH and PRISM_DATA_DIR; all " +
      "else stands in prism.toml, which docs/admin/configuration.md describes.",
  ],
  examples: [
    ["prism serve", "at http://127.0.0.1:3080"],
    ["prism serve --port 8080 --backup-root /srv/backup", "archives on the server stay below that folder"],
    ["prism serve -c /etc/prism/prism.toml --host 0.0.0.0", "for other machines, with the API keys of that file"],
  ],
  args: {
    host: { type: "string", valueHint: "HOST", description: "Address to listen on (default 127.0.0.1)" },
    port: {
      type: "string",
      valueHint: "N",
      number: { min: 0, max: 65_535, integer: true },
      description: "Port to listen on (default 3080); 0 takes one that is free",
    },
    config: {
      type: "string",
      alias: "c",
      valueHint: "FILE",
      description: "Configuration (else PRISM_CONFIG_PATH, ./prism.toml, /etc/prism/prism.toml)",
    },
    "backup-root": {
      type: "string",
      valueHint: "DIR",
      repeatable: true,
      description: "Folder that requests may name archives in; may be given several times",
    },
  },
  async run(context, args) {
    // Only now: no other command needs the HTTP interface, and to load it takes longer than most of them.
    const { serve } = await import("./serve.ts")
    await serve(context, args)
  },
})
