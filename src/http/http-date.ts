/** Points in time as HTTP writes them (RFC 9110 §5.6.7): one format that is sent, and two that old clients may send. */

const DAY = '(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)'
const MONTH = '(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)'
const TIME = '\\d{2}:\\d{2}:\\d{2}'
const IMF_FIXDATE = new RegExp(`^${DAY}, \\d{2} ${MONTH} \\d{4} ${TIME} GMT$`)
const RFC_850 = new RegExp(`^[A-Z][a-z]+day, \\d{2}-${MONTH}-\\d{2} ${TIME} GMT$`)
const ASCTIME = new RegExp(`^${DAY} ${MONTH} [ \\d]\\d ${TIME} \\d{4}$`)

/** Milliseconds since the epoch; undefined for what is no HTTP-date, such as the ISO format that `Date.parse` takes. */
export function parseHttpDate(text: string): number | undefined {
  const isGmt = IMF_FIXDATE.test(text) || RFC_850.test(text)
  if (!isGmt && !ASCTIME.test(text)) return undefined
  // asctime has no zone, and means GMT.
  const at = Date.parse(isGmt ? text : `${text} GMT`)
  return Number.isNaN(at) ? undefined : at
}
