/** Something that may happen next. */
export interface Step {
  /** Names it for a schedule; no two steps that may happen at the same time have the same. */
  readonly name: string
  /** In whose process it happens; undefined: in none, and nobody takes notice at once. */
  readonly process: string | undefined
  /** Since when it may happen: the least comes first if nobody decides otherwise. */
  readonly since: number
  /** What happens, in words; asked for before it does. */
  tell(): string
  run(): void
}

/** The next event of the program begins: `next 3`, by its id. */
export const NEXT = 'next '

/** The step of which the last of all steps may be: time passes to the next timer. */
export const TIME = 'time'
