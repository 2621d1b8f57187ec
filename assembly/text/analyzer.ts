// Analysis: UTF-8 text to tokens. Documents and queries come through here, so both are cut alike on every runtime.
//
// "standard" follows the default word boundaries of Unicode (UAX #29) where that matters for search:
//   - a word is a run of letters, numbers and marks, case folded character by character (simple folding);
//   - an apostrophe between two letters belongs to the word (’ becomes '). UAX #29 keeps `.` and `,` between digits and
//     `.` between letters too; here they part, so that 1.2 finds 1.2.3 as a phrase and example finds example.org. On
//     SciFact that is nDCG@10 .6629, against .6616 with digits kept together and .6630 with all of UAX #29;
//   - characters that nobody sees (soft hyphens, joiners, variation selectors, bidi controls) are dropped, and part
//     nothing; ZERO WIDTH SPACE parts words;
//   - Han with Kana, Thai, Lao and Khmer write no spaces: each run becomes overlapping pairs of characters (with their
//     marks), a character alone stays one;
//   - a word ends after 255 bytes and goes on as the next token.
// "raw" takes the whole value as one token.
//
// Use: analyzerStart, then analyzerNext until it is false; the token stands at tokenAddress until the next call.
import {
  BREAK, CLASS_OF_KIND, DIGIT, DISTANCE_OF_KIND, HAN_KANA, IGNORED, LETTER, MARK, PAGE_BITS, STAGE1, STAGE1_LENGTH,
  STAGE2,
} from "./unicode-tables";

export const ANALYZER_STANDARD: u32 = 0;
export const ANALYZER_RAW: u32 = 1;
export const ANALYZER_COUNT: u32 = 2;

const TOKEN_BYTES_MAX: u32 = 255;
const UNIT_BYTES_MAX: u32 = 127; // one character of a pair, with its marks; further marks are dropped
const APOSTROPHE: u32 = 0x27;
const RIGHT_QUOTE: u32 = 0x2019;

export let tokenAddress: usize = 0;
export let tokenLength: u32 = 0;
/** Tokens before this one. */
export let tokenPosition: u32 = 0;

let analyzer: u32 = 0;
let at: usize = 0;
let end: usize = 0;
let nextPosition: u32 = 0;
let runClass: u32 = 0; // of the run of pairs that we are in, or 0
let runUnits: u32 = 0; // characters of the run so far
let heldLength: u32 = 0; // bytes of its last character, in HELD

// Eight bytes more than a token needs: it is hashed eight bytes at a time.
const TOKEN: usize = memory.data(272, 16);
const HELD: usize = memory.data(144, 16);

/** Of an ASCII character: 0 where it breaks words, else what it folds to. */
const ASCII: usize = fillAscii(memory.data(128, 16));

function fillAscii(table: usize): usize {
  for (let c: u32 = 0; c < 128; c++) {
    const kind = kindOf(c);
    store<u8>(table + c, classOfKind(kind) == BREAK ? 0 : c + distanceOfKind(kind));
  }
  return table;
}

@inline function kindOf(codePoint: u32): u32 {
  const page = codePoint >> PAGE_BITS;
  if (page >= STAGE1_LENGTH) return 0;
  const low = codePoint & ((1 << PAGE_BITS) - 1);
  return load<u8>(STAGE2 + (<usize>load<u8>(STAGE1 + page) << PAGE_BITS) + low);
}
@inline function classOfKind(kind: u32): u32 { return load<u8>(CLASS_OF_KIND + kind); }
@inline function distanceOfKind(kind: u32): u32 { return <u32>load<i32>(DISTANCE_OF_KIND + (<usize>kind << 2)); }
@inline function isDigit(c: u32): bool { return c - 0x30 < 10; }

/** Bytes of the character that begins with `first`; the text is valid UTF-8. */
@inline function bytesOf(first: u32): u32 { return first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4; }

function codePointAt(address: usize): u32 {
  const first = <u32>load<u8>(address);
  if (first < 0x80) return first;
  const second = <u32>load<u8>(address, 1) & 0x3f;
  if (first < 0xe0) return ((first & 0x1f) << 6) | second;
  const third = <u32>load<u8>(address, 2) & 0x3f;
  if (first < 0xf0) return ((first & 0x0f) << 12) | (second << 6) | third;
  return ((first & 0x07) << 18) | (second << 12) | (third << 6) | (<u32>load<u8>(address, 3) & 0x3f);
}

@inline function utf8Bytes(codePoint: u32): u32 {
  return codePoint < 0x80 ? 1 : codePoint < 0x800 ? 2 : codePoint < 0x10000 ? 3 : 4;
}

function writeUtf8(to: usize, codePoint: u32): void {
  if (codePoint < 0x80) {
    store<u8>(to, codePoint);
  } else if (codePoint < 0x800) {
    store<u8>(to, 0xc0 | (codePoint >> 6));
    store<u8>(to, 0x80 | (codePoint & 0x3f), 1);
  } else if (codePoint < 0x10000) {
    store<u8>(to, 0xe0 | (codePoint >> 12));
    store<u8>(to, 0x80 | ((codePoint >> 6) & 0x3f), 1);
    store<u8>(to, 0x80 | (codePoint & 0x3f), 2);
  } else {
    store<u8>(to, 0xf0 | (codePoint >> 18));
    store<u8>(to, 0x80 | ((codePoint >> 12) & 0x3f), 1);
    store<u8>(to, 0x80 | ((codePoint >> 6) & 0x3f), 2);
    store<u8>(to, 0x80 | (codePoint & 0x3f), 3);
  }
}

/** Begins with `length` bytes of valid UTF-8 at `text`, which has 8 readable bytes behind it. */
export function analyzerStart(name: u32, text: usize, length: usize): void {
  analyzer = name;
  at = text;
  end = text + length;
  nextPosition = 0;
  runClass = 0;
}

/** Moves to the next token; false at the end of the text. */
export function analyzerNext(): bool {
  if (analyzer == ANALYZER_RAW) return nextRaw();
  if (runClass != 0 && nextPair()) return emit();
  while (at < end) {
    const first = <u32>load<u8>(at);
    if (first < 0x80) {
      if (load<u8>(ASCII + first)) {
        word();
        return emit();
      }
      at++;
      continue;
    }
    const kind = kindOf(codePointAt(at));
    const type = classOfKind(kind);
    if (type == LETTER || type == DIGIT) {
      word();
      return emit();
    }
    if (type >= HAN_KANA) {
      runClass = type;
      runUnits = 0;
      if (nextPair()) return emit();
    } else {
      at += bytesOf(first); // a break, or a mark or an invisible character that stands on nothing
    }
  }
  return false;
}

@inline function emit(): bool {
  tokenPosition = nextPosition++;
  return true;
}

function nextRaw(): bool {
  if (nextPosition) return false;
  tokenAddress = at;
  tokenLength = <u32>(end - at);
  return emit();
}

/** Reads a word that begins at `at`. */
function word(): void {
  let length: u32 = 0;
  let lastIsLetter = false; // not counting marks
  while (at < end) {
    const first = <u32>load<u8>(at);
    if (first < 0x80) {
      const folded = <u32>load<u8>(ASCII + first);
      if (folded) {
        if (length == TOKEN_BYTES_MAX) break;
        store<u8>(TOKEN + length, folded);
        length++;
        at++;
        lastIsLetter = !isDigit(folded);
        continue;
      }
      if (first != APOSTROPHE || !joins(lastIsLetter, at + 1)) break;
      if (length + 5 > TOKEN_BYTES_MAX) break; // room for it and any character behind it
      store<u8>(TOKEN + length, APOSTROPHE);
      length++;
      at++;
      continue;
    }
    const bytes = bytesOf(first);
    const codePoint = codePointAt(at);
    const kind = kindOf(codePoint);
    const type = classOfKind(kind);
    if (type == IGNORED) {
      at += bytes;
    } else if (type == LETTER || type == DIGIT || type == MARK) {
      const folded = codePoint + distanceOfKind(kind);
      const foldedBytes = utf8Bytes(folded);
      if (length + foldedBytes > TOKEN_BYTES_MAX) break;
      writeUtf8(TOKEN + length, folded);
      length += foldedBytes;
      at += bytes;
      if (type != MARK) lastIsLetter = type == LETTER;
    } else if (codePoint == RIGHT_QUOTE && joins(lastIsLetter, at + bytes)) {
      if (length + 5 > TOKEN_BYTES_MAX) break;
      store<u8>(TOKEN + length, APOSTROPHE);
      length++;
      at += bytes;
    } else {
      break;
    }
  }
  tokenAddress = TOKEN;
  tokenLength = length;
}

/** Whether an apostrophe belongs to the word: between two letters. */
@inline function joins(lastIsLetter: bool, next: usize): bool {
  return lastIsLetter && next < end && classOfKind(kindOf(codePointAt(next))) == LETTER;
}

/** The next pair of the run, or its only character where it has but one; false, and out of the run, at its end. */
function nextPair(): bool {
  while (true) {
    const unit = TOKEN + heldLength * <u32>(runUnits != 0);
    const unitLength = readUnit(unit);
    if (!unitLength) {
      const alone = runUnits == 1;
      runClass = 0;
      if (!alone) return false;
      memory.copy(TOKEN, HELD, heldLength);
      tokenAddress = TOKEN;
      tokenLength = heldLength;
      return true;
    }
    const before = runUnits ? heldLength : 0;
    if (runUnits) memory.copy(TOKEN, HELD, before);
    memory.copy(HELD, unit, unitLength);
    heldLength = unitLength;
    runUnits++;
    if (runUnits > 1) {
      tokenAddress = TOKEN;
      tokenLength = before + unitLength;
      return true;
    }
  }
}

/** Reads one character of the run, with its marks, to `to`; returns its bytes, 0 where the run ends. */
function readUnit(to: usize): u32 {
  let length: u32 = 0;
  while (at < end) {
    const codePoint = codePointAt(at);
    const kind = kindOf(codePoint);
    const type = classOfKind(kind);
    if (type == runClass ? length != 0 : type != MARK && type != IGNORED) break;
    const folded = codePoint + distanceOfKind(kind);
    if (type != IGNORED && length + utf8Bytes(folded) <= UNIT_BYTES_MAX) {
      writeUtf8(to + length, folded);
      length += utf8Bytes(folded);
    }
    at += bytesOf(<u32>load<u8>(at));
  }
  return length;
}
