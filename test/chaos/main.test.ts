/** How `npm run check:chaos` is called: what it cannot mean is told in one sentence. */
import { expect, onTestFinished, test, vi } from 'vitest'
import { main } from './main.ts'

test.each([
  [['--phases', 'rain'], /^--phases: expected one of silent, gone, .*, got 'rain'\n$/],
  [['--soak', 'long'], /^--soak: expected a whole number of at least 1, got 'long'\n$/],
  [['--bogus'], /^Unknown option '--bogus'/],
])('%j', async (args, sentence) => {
  const said = vi.spyOn(process.stderr, 'write').mockReturnValue(true)
  onTestFinished(() => said.mockRestore())
  expect(await main(args, new URL('.', import.meta.url))).toBe(1)
  expect(said.mock.calls.map(([text]) => String(text))).toEqual([expect.stringMatching(sentence)])
})
