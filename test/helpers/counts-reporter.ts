/** Ends the output of a test run with the plain line `N passed, N failed`, and fails a run in which no test ran. */
import type { Reporter, TestModule } from 'vitest/node'

export class CountsReporter implements Reporter {
  #passed = 0
  #failed = 0
  #skipped = 0

  onInit(): void {
    // Vitest may still write while it closes; only what is written at exit is last.
    process.once('exit', () => {
      if (this.#passed + this.#failed === 0) process.exitCode = 1
      process.stdout.write(`${this.#line()}\n`)
    })
  }

  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    this.#passed = 0
    this.#skipped = 0
    this.#failed = unhandledErrors.length
    for (const module of modules) this.#count(module)
  }

  #count(module: TestModule): void {
    const failedBefore = this.#failed
    for (const test of module.children.allTests()) {
      const { state } = test.result()
      if (state === 'passed') this.#passed++
      else if (state === 'skipped') this.#skipped++
      else this.#failed++
    }
    // A file that cannot be loaded, or a hook that throws, fails no test of its own.
    if (module.state() === 'failed' && this.#failed === failedBefore) this.#failed++
  }

  #line(): string {
    const line = `${this.#passed} passed, ${this.#failed} failed`
    return this.#skipped > 0 ? `${line}, ${this.#skipped} skipped` : line
  }
}
