#!/usr/bin/env python3
"""Decrypts an encrypted archive of Prism (PENC, versions 1 and 2) to standard output.

    decrypt.py FILE --key-file KEY | --passphrase-file FILE

It needs Python 3.9 and the package "cryptography". The format is described in encrypted.md beside this file. What it writes
is the whole payload if and only if it ends with exit code 0: before that, use nothing of it.
"""
import argparse
import hashlib
import hmac
import sys
import unicodedata

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

ROUNDS_SUM_MAX = 10_000_000


def check(condition, message):
    if not condition:
        sys.exit(f"Error: {message}")


def read_key(text):
    try:
        key = bytes.fromhex(text.strip()) if len(text.split()) == 1 else None
    except ValueError:
        key = None
    check(key is not None, "Key must be 64 hex characters")
    check(len(key) == 32, f"Key must be 32 bytes, got {len(key)}")
    return key


def hkdf(secret, salt, info, length):
    return HKDF(SHA256(), length, salt, info).derive(secret)


def decrypt_v1(file, size, key, output):
    check(key is not None, "An archive of version 1 is opened by a key, not by a passphrase")
    file.seek(5)
    nonce = file.read(12)
    file.seek(size - 16)
    tag = file.read(16)
    # The tag stands at the end: read everything once to verify it, then once more to use it.
    for write in (lambda _: None, output.write):
        file.seek(17)
        left = size - 33
        decryptor = Cipher(algorithms.AES(key), modes.GCM(nonce, tag)).decryptor()
        while left > 0:
            piece = file.read(min(left, 1 << 20))
            check(piece, "Archive is truncated")
            left -= len(piece)
            write(decryptor.update(piece))
        try:
            decryptor.finalize()
        except InvalidTag:
            check(False, "Decryption failed (wrong key or corrupted data)")


def read_slots(space):
    slots, at = [], 0
    while at < len(space) and space[at] != 0:
        end = at + 3 + int.from_bytes(space[at + 1 : at + 3], "big")
        check(len(slots) < 16 and end <= len(space) and at + 3 <= len(space), "Archive is damaged (key slots)")
        slots.append(space[at:end])
        at = end
    check(not any(space[at:]), "Archive is damaged (key slots)")
    lengths = {1: 3 + 112, 2: 3 + 116}
    check(all(len(slot) == lengths.get(slot[0], len(slot)) for slot in slots), "Archive is damaged (key slots)")
    rounds = [int.from_bytes(slot[35:39], "big") for slot in slots if slot[0] == 2]
    check(0 not in rounds and sum(rounds) <= ROUNDS_SUM_MAX, "Archive is damaged (key slots)")
    return slots


def open_slots(slots, key, passphrase):
    for slot in slots:
        salt = slot[3:35]
        if slot[0] == 1 and key is not None:
            secret, bound = key, slot[:35]
        elif slot[0] == 2 and passphrase is not None:
            rounds = int.from_bytes(slot[35:39], "big")
            secret, bound = hashlib.pbkdf2_hmac("sha256", passphrase, salt, rounds), slot[:39]
        else:
            continue
        derived = hkdf(secret, salt, b"prism-penc-v2/wrap", 64)
        commitment, wrapped = slot[len(bound) : len(bound) + 32], slot[len(bound) + 32 :]
        if not hmac.compare_digest(commitment, derived[32:]):
            continue
        try:
            return AESGCM(derived[:32]).decrypt(bytes(12), wrapped, bound)
        except InvalidTag:
            check(False, "Archive is damaged (key slots)")
    check(False, "Decryption failed (wrong key or corrupted data)")


def decrypt_v2(file, key, passphrase, output):
    file.seek(0)
    header = file.read(4168)
    check(len(header) == 4168, "Archive is truncated (header)")
    check(header[5] == 0 and header[7] == 0 and 12 <= header[6] <= 24, "Archive is damaged (header)")
    file_salt = header[8:40]
    file_key = open_slots(read_slots(header[40:4136]), key, passphrase)
    mac_key = hkdf(file_key, file_salt, b"prism-penc-v2/header", 32)
    mac = hmac.digest(mac_key, header[:4136], "sha256")
    check(hmac.compare_digest(mac, header[4136:]), "Archive is damaged (header)")

    cipher = AESGCM(hkdf(file_key, file_salt, b"prism-penc-v2/payload", 32))
    bound = hashlib.sha256(header[:8] + file_salt).digest()
    sealed_size = (1 << header[6]) + 16
    sealed, index = file.read(sealed_size), 0
    while True:
        following = file.read(sealed_size)
        last = b"\0" if following else b"\1"
        try:
            piece = cipher.decrypt(bytes(3) + index.to_bytes(8, "big") + last, sealed, bound)
        except (InvalidTag, ValueError):
            check(False, f"Archive is damaged or truncated (chunk {index})")
        check(piece or index == 0, f"Archive is damaged (chunk {index})")
        output.write(piece)
        if not following:
            return
        sealed, index = following, index + 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    one = parser.add_mutually_exclusive_group(required=True)
    one.add_argument("--key-file", help="64 hex characters")
    one.add_argument("--passphrase-file", help="the first line is the passphrase")
    args = parser.parse_args()
    key = passphrase = None
    if args.key_file:
        with open(args.key_file, encoding="utf-8-sig") as file:
            key = read_key(file.read())
    else:
        with open(args.passphrase_file, encoding="utf-8-sig") as file:
            line = file.readline().rstrip("\r\n")
        check(line != "", "Passphrase is empty")
        passphrase = unicodedata.normalize("NFC", line).encode()

    with open(args.file, "rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        head = file.read(33)
        check(len(head) == 33 or not b"PENC".startswith(head[:4]), "File too small to be encrypted")
        check(head[:4] == b"PENC", "Invalid file format (not a Prism encrypted export)")
        check(head[4] in (1, 2), f"Unsupported format version: {head[4]}")
        if head[4] == 1:
            decrypt_v1(file, size, key, sys.stdout.buffer)
        else:
            decrypt_v2(file, key, passphrase, sys.stdout.buffer)
    sys.stdout.buffer.flush()


main()
