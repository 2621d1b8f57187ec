import { createCipheriv, createDecipheriv } from "node:crypto"
import type { Gcm } from "../runtime.ts"

const ALGORITHM = "aes-256-gcm"
const OPTIONS = { authTagLength: 16 }

export function createGcm(direction: "encrypt" | "decrypt", key: Uint8Array, nonce: Uint8Array): Gcm {
  return direction === "encrypt" ? encryption(key, nonce) : decryption(key, nonce)
}

function encryption(key: Uint8Array, nonce: Uint8Array): Gcm {
  const cipher = createCipheriv(ALGORITHM, key, nonce, OPTIONS)
  return {
    update: (bytes) => cipher.update(bytes),
    tag() {
      cipher.final()
      return cipher.getAuthTag()
    },
    verify: () => wrongWay(),
  }
}

function decryption(key: Uint8Array, nonce: Uint8Array): Gcm {
  const decipher = createDecipheriv(ALGORITHM, key, nonce, OPTIONS)
  return {
    update: (bytes) => decipher.update(bytes),
    tag: () => wrongWay(),
    verify(tag) {
      decipher.setAuthTag(tag)
      try {
        decipher.final()
        return true
      } catch {
        return false
      }
    },
  }
}

function wrongWay(): never {
  throw new Error("Bug in Prism: an encryption gives a tag, a decryption verifies one")
}
