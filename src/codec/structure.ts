/**
 * What JSON would cost before it is parsed. A few bytes of it make an object of many: 60 MB of `{},{},...`, which are
 * 60 KB compressed, make 20 million objects, take gigabytes, and hold up the event loop for half a minute.
 *
 * One pass over the bytes, at 1 to 2 ns each; only for bodies that are large enough to do harm.
 */

/** What the containers, elements and properties of one value may take in memory; strings and numbers come on top. */
export const MAX_STRUCTURE_BYTES = 134_217_728

const CONTAINER_BYTES = 64
const ELEMENT_BYTES = 8
const PROPERTY_BYTES = 40

const QUOTE = 0x22
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_BRACKET = 0x5b
const BACKSLASH = 0x5c
const OPEN_BRACE = 0x7b

/** Nothing costs more than a byte that opens a container, so that bodies up to here need not be looked at. */
const HARMLESS_BYTES = MAX_STRUCTURE_BYTES / CONTAINER_BYTES

/** False if parsing `json` would take too much for what it is. */
export function isParsable(json: Buffer): boolean {
  if (json.length <= HARMLESS_BYTES) return true
  let bytes = 0
  for (let i = 0; i < json.length; i++) {
    const byte = json[i]
    if (byte === QUOTE) i = endOfString(json, i + 1)
    else if (byte === COMMA) bytes += ELEMENT_BYTES
    else if (byte === COLON) bytes += PROPERTY_BYTES
    else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) bytes += CONTAINER_BYTES
  }
  return bytes <= MAX_STRUCTURE_BYTES
}

/** Where the string ends that begins at `at`: its closing quote, or the end of what is there. */
function endOfString(json: Buffer, at: number): number {
  for (let i = at; i < json.length; i++) {
    if (json[i] === QUOTE) return i
    if (json[i] === BACKSLASH) i++
  }
  return json.length
}
