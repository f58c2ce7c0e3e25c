/** The pages of the application: what each says, so that who asks knows the right answer. */

const PADDING = 'x'.repeat(1500)

export function bodyOf(page: string): { readonly page: string; readonly padding: string } {
  return { page, padding: `${PADDING}${page}` }
}

export function textOf(page: string): string {
  return JSON.stringify(bodyOf(page))
}
