/**
 * Ends the output of a test run with the plain line `N passed, N failed`, and fails a run in which no test ran. Why tests
 * were skipped stands above it.
 */
import type { Reporter, TestModule } from 'vitest/node'

export class CountsReporter implements Reporter {
  #passed = 0
  #failed = 0
  #skipped = 0
  /** Why, and how many. */
  readonly #reasons = new Map<string, number>()

  onInit(): void {
    // Vitest may still write while it closes; only what is written at exit is last.
    process.once('exit', () => {
      if (this.#passed + this.#failed === 0) process.exitCode = 1
      for (const [reason, count] of this.#reasons) process.stdout.write(`${count} skipped: ${reason}\n`)
      process.stdout.write(`${this.#line()}\n`)
    })
  }

  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    this.#passed = 0
    this.#skipped = 0
    this.#failed = unhandledErrors.length
    this.#reasons.clear()
    for (const module of modules) this.#count(module)
  }

  #count(module: TestModule): void {
    const failedBefore = this.#failed
    for (const test of module.children.allTests()) {
      const result = test.result()
      if (result.state === 'passed') this.#passed++
      else if (result.state === 'skipped') this.#skip(result.note)
      else this.#failed++
    }
    // A file that cannot be loaded, or a hook that throws, fails no test of its own.
    if (module.state() === 'failed' && this.#failed === failedBefore) this.#failed++
  }

  #skip(reason: string | undefined): void {
    this.#skipped++
    if (reason !== undefined) this.#reasons.set(reason, (this.#reasons.get(reason) ?? 0) + 1)
  }

  #line(): string {
    const line = `${this.#passed} passed, ${this.#failed} failed`
    return this.#skipped > 0 ? `${line}, ${this.#skipped} skipped` : line
  }
}
