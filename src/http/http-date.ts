/**
 * Points in time as HTTP writes them (RFC 9110 §5.6.7): one format that is sent, and two that old servers may send.
 *
 * A cache takes them in any case of letters, and no zone but GMT (RFC 9111 §4.2).
 */

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']

const DAY = '(?:mon|tue|wed|thu|fri|sat|sun)'
const LONG_DAY = '(?:mon|tues|wednes|thurs|fri|satur|sun)day'
const MONTH = `(?<month>${MONTHS.join('|')})`
const TIME = '(?<hour>[01]\\d|2[0-3]):(?<minute>[0-5]\\d):(?<second>[0-5]\\d|60)'
const FORMATS = [
  `${DAY}, (?<day>\\d{2}) ${MONTH} (?<year>\\d{4}) ${TIME} gmt`,
  `${LONG_DAY}, (?<day>\\d{2})-${MONTH}-(?<year>\\d{2}) ${TIME} gmt`,
  // asctime has no zone, and means GMT.
  `${DAY} ${MONTH} (?<day>[ \\d]\\d) ${TIME} (?<year>\\d{4})`,
].map((format) => new RegExp(`^${format}$`, 'i'))

/** Milliseconds since the epoch; undefined for what is no HTTP-date, such as the ISO format that `Date.parse` takes. */
export function parseHttpDate(text: string): number | undefined {
  const parts = FORMATS.map((format) => format.exec(text)?.groups).find((groups) => groups !== undefined)
  if (parts === undefined) return undefined
  const month = MONTHS.indexOf(parts['month']!.toLowerCase())
  const [day, hour, minute, second] = ['day', 'hour', 'minute', 'second'].map((name) => Number(parts[name]))
  const at = new Date(0)
  at.setUTCFullYear(fullYear(parts['year']!), month, day)
  // The 31st of June is no day.
  if (at.getUTCDate() !== day) return undefined
  return at.setUTCHours(hour!, minute, second)
}

/** Of two digits, the year that is less than 50 years ahead (RFC 9110 §5.6.7). */
function fullYear(digits: string): number {
  if (digits.length === 4) return Number(digits)
  const now = new Date().getUTCFullYear()
  const year = now - (now % 100) + Number(digits)
  return year > now + 50 ? year - 100 : year
}
