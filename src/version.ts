/** The version that archives name. Equal to package.json's (a test). */
export const PRISM_VERSION = "0.0.1"
